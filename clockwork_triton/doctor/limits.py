"""What is to be said of the rights and limits of a GPU's worker."""

from __future__ import annotations

from clockwork_triton.doctor.facts import Facts
from clockwork_triton.doctor.finding import Finding, Verdict
from clockwork_triton.worker.process import WAKE_LATENCY

GIB = 1 << 30
SHALLOW_US = 10


def real_time(facts: Facts) -> Finding:
    """Whether a thread may have it."""
    if facts.real_time:
        return Finding("real-time priority", Verdict.GOOD, "permitted")
    return Finding(
        "real-time priority",
        Verdict.POOR,
        "not permitted",
        "ulimit -r 10, LimitRTPRIO=10, or the capability SYS_NICE",
        "the thread that starts kernels is never kept waiting by ordinary processes",
    )


def throttling(facts: Facts) -> Finding:
    """Whether a thread that has real-time priority keeps it all the time."""
    subject = "real-time throttling"
    if not facts.real_time_pause_us:
        return Finding(subject, Verdict.GOOD, "off")
    return Finding(
        subject,
        Verdict.POOR,
        f"{facts.real_time_pause_us / 1000:g} ms of each second",
        "sysctl -w kernel.sched_rt_runtime_us=-1, on the host",
        "no pause of that length once a second while the thread that starts kernels looks for their end "
        "without sleeping (since Linux 6.12 there is one only where another thread waits for its core)",
    )


def sleep(facts: Facts) -> Finding:
    """Whether cores sleep so deeply that waking takes them time."""
    subject = "CPU sleep"
    if facts.wake_us is None:
        return Finding(subject, Verdict.GOOD, "not ours to see")
    found = f"a core wakes up within {facts.wake_us} us"
    if facts.wake_us <= SHALLOW_US:
        return Finding(subject, Verdict.GOOD, found)
    if facts.may_keep_awake:
        return Finding(subject, Verdict.GOOD, f"{found}; none sleeps so deeply while a GPU is served")
    return Finding(
        subject,
        Verdict.POOR,
        found,
        f"let the server write {WAKE_LATENCY} (in a container: --device {WAKE_LATENCY}), or cpupower "
        f"idle-set -D {SHALLOW_US}",
        "requests and ends of kernels are seen that much sooner by threads that slept",
    )


def locked_memory(facts: Facts) -> Finding:
    """Whether weights may be fixed in place."""
    limit = facts.locked_memory
    if limit is None or limit >= facts.memory_available_bytes:
        return Finding("locked memory", Verdict.GOOD, "unlimited" if limit is None else f"{limit // GIB} GiB")
    return Finding(
        "locked memory",
        Verdict.POOR,
        f"{limit >> 20} MiB",
        "ulimit -l unlimited, LimitMEMLOCK=infinity or --ulimit memlock=-1",
        "weights of models are pinned for LOADs at the speed of the bus; some drivers count that",
    )


def memory(facts: Facts) -> Finding:
    """Whether weights of all models have room in the host's memory, where they stay, pinned: once for each
    GPU that serves them."""
    subject, limit = "memory limit", facts.memory_limit
    wanted = sum(setup.memory_bytes or 0 for setup in facts.setups or ())
    if limit is None or (wanted and limit >= wanted):
        return Finding(subject, Verdict.GOOD, "none" if limit is None else f"{limit // GIB} GiB")
    than = f", less than the {wanted // GIB} GiB of the GPUs" if wanted else ""
    return Finding(
        subject,
        Verdict.POOR,
        f"{limit / GIB:.1f} GiB{than}",
        "give the container (--memory, limits.memory) what the weights of every model take, times the GPUs "
        "that serve it, and 2 GiB for each worker",
        "each worker pins a copy of its own of its models' weights in the host's memory, whether they are on "
        "its GPU or not; one that goes over the limit is killed",
    )
