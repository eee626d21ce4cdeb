"""What is to be said of the machine, with GPUs or without."""

from __future__ import annotations

from clockwork_triton.doctor.facts import Facts
from clockwork_triton.doctor.finding import Finding, Verdict

# Cores that a server wants: one for the front end, two for each GPU's worker, one for a CPU's.
FRONT_END_CORES = 1
WORKER_CORES = 2
BUSY = 0.25
OPEN_FILES = 1 << 16


def cores(facts: Facts) -> Finding:
    """Whether there are enough."""
    wanted = FRONT_END_CORES + (WORKER_CORES * facts.driver.used or 1)
    count = len(facts.cores.allowed)
    found = f"{count} for this process"
    if count >= wanted:
        return Finding("cores", Verdict.GOOD, found)
    return Finding(
        "cores",
        Verdict.POOR,
        f"{found}, where {wanted} are wanted",
        "give it a core for the front end, and two for each GPU",
        "a worker that shares a core starts actions late by whatever the other does: milliseconds",
    )


def quota(facts: Facts) -> Finding:
    """Whether time on the cores is rationed."""
    if facts.cpu_quota is None:
        return Finding("CPU quota", Verdict.GOOD, "none")
    return Finding(
        "CPU quota",
        Verdict.POOR,
        f"{facts.cpu_quota:g} cores",
        "give the container whole cores (a cpuset) in place of a quota (--cpus, limits.cpu)",
        "a process over its quota stops for the rest of a period: pauses of up to 100 ms",
    )


def governor(facts: Facts) -> Finding:
    """Whether the cores keep their clock."""
    if facts.governors <= {"performance"}:
        found = "performance" if facts.governors else "not ours to see"
        return Finding("CPU clock", Verdict.GOOD, found)
    return Finding(
        "CPU clock",
        Verdict.POOR,
        f"governor {', '.join(sorted(facts.governors))}",
        "cpupower frequency-set -g performance",
        "kernels on the CPU, and whatever starts those of a GPU, take the same time after a pause as before",
    )


def load(facts: Facts) -> Finding:
    """Whether others want the cores."""
    cores = len(facts.cores.allowed)
    found = f"load {facts.load:g} on {cores} cores"
    if facts.load <= BUSY * cores:
        return Finding("other work", Verdict.GOOD, found)
    return Finding(
        "other work",
        Verdict.POOR,
        found,
        "stop it, or keep it off the cores of the server (taskset, a cpuset)",
        "running times without the tail that others' turns on the cores and in their caches give them",
    )


def huge_pages(facts: Facts) -> Finding:
    """Whether there are any for whoever asks."""
    if facts.huge_pages in ("always", "madvise"):
        return Finding("huge pages", Verdict.GOOD, facts.huge_pages)
    return Finding(
        "huge pages",
        Verdict.POOR,
        facts.huge_pages or "the system has none",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        "fewer misses of the address cache where kernels on the CPU walk through weights",
    )


def open_files(facts: Facts) -> Finding:
    """Whether there can be enough."""
    if facts.open_files is None or facts.open_files >= OPEN_FILES:
        return Finding("open files", Verdict.GOOD, str(facts.open_files or "unlimited"))
    return Finding(
        "open files",
        Verdict.POOR,
        str(facts.open_files),
        f"ulimit -Hn {OPEN_FILES}, LimitNOFILE= or --ulimit nofile={OPEN_FILES}",
        "one is needed for each connection and each region of shared memory",
    )
