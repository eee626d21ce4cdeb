"""What is to be said of a machine: pure functions of its facts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from clockwork_triton.doctor.facts import Facts
from clockwork_triton.nvml import POWER_CAP, SLOWDOWNS, GpuState

GIB = 1 << 30
# Cores that a server wants: one for the front end, two for each GPU's worker, one for a CPU's.
FRONT_END_CORES = 1
BUSY = 0.25
OPEN_FILES = 1 << 16
# A GPU that idles at so much of its highest clock has it locked there.
LOCKED = 0.85
IDLE_UTILIZATION = 0.05


class Verdict(Enum):
    GOOD = "good"
    POOR = "poor"
    """It works, with longer or less even times."""
    BAD = "bad"
    """It does not work."""


@dataclass(frozen=True)
class Finding:
    """`change`: what to do, `gain`: what that buys; both empty where all is well."""

    subject: str
    verdict: Verdict
    found: str
    change: str = ""
    gain: str = ""


def examine(facts: Facts) -> list[Finding]:
    findings = [_driver(facts), _cores(facts), _quota(facts), _governor(facts), _load(facts)]
    findings += [_huge_pages(facts), _open_files(facts)]
    if facts.gpus:
        findings += [_real_time(facts), _locked_memory(facts), _compiler(facts), _management(facts)]
        for gpu in facts.states or ():
            findings += _gpu(gpu)
    return findings


def _driver(facts: Facts) -> Finding:
    if facts.gpus:
        version = f", driver {facts.driver_version}" if facts.driver_version else ""
        return Finding("GPUs", Verdict.GOOD, f"{facts.gpus} found{version}")
    if facts.driver_error:
        return Finding("GPUs", Verdict.GOOD, f"none: {facts.driver_error}; models are served on the CPU")
    return Finding(
        "GPUs",
        Verdict.BAD,
        "the driver finds none",
        "see what nvidia-smi says, and CUDA_VISIBLE_DEVICES",
        "without it models are served on the CPU",
    )


def _cores(facts: Facts) -> Finding:
    wanted = FRONT_END_CORES + (2 * facts.gpus or 1)
    found = f"{facts.cores} for this process"
    if facts.cores >= wanted:
        return Finding("cores", Verdict.GOOD, found)
    return Finding(
        "cores",
        Verdict.POOR,
        f"{found}, where {wanted} are wanted",
        "give it a core for the front end, and two for each GPU",
        "a worker that shares a core starts actions late by whatever the other does: milliseconds",
    )


def _quota(facts: Facts) -> Finding:
    if facts.cpu_quota is None:
        return Finding("CPU quota", Verdict.GOOD, "none")
    return Finding(
        "CPU quota",
        Verdict.POOR,
        f"{facts.cpu_quota:g} cores",
        "give the container whole cores (a cpuset) in place of a quota (--cpus, limits.cpu)",
        "a process over its quota stops for the rest of a period: pauses of up to 100 ms",
    )


def _governor(facts: Facts) -> Finding:
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


def _load(facts: Facts) -> Finding:
    found = f"load {facts.load:g} on {facts.cores} cores"
    if facts.load <= BUSY * facts.cores:
        return Finding("other work", Verdict.GOOD, found)
    return Finding(
        "other work",
        Verdict.POOR,
        found,
        "stop it, or keep it off the cores of the server (taskset, a cpuset)",
        "running times without the tail that others' turns on the cores and in their caches give them",
    )


def _huge_pages(facts: Facts) -> Finding:
    if facts.huge_pages in ("always", "madvise"):
        return Finding("huge pages", Verdict.GOOD, facts.huge_pages)
    return Finding(
        "huge pages",
        Verdict.POOR,
        facts.huge_pages or "the system has none",
        "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        "fewer misses of the address cache where kernels on the CPU walk through weights",
    )


def _open_files(facts: Facts) -> Finding:
    if facts.open_files is None or facts.open_files >= OPEN_FILES:
        return Finding("open files", Verdict.GOOD, str(facts.open_files or "unlimited"))
    return Finding(
        "open files",
        Verdict.POOR,
        str(facts.open_files),
        f"ulimit -Hn {OPEN_FILES}, LimitNOFILE= or --ulimit nofile={OPEN_FILES}",
        "one is needed for each connection and each region of shared memory",
    )


def _real_time(facts: Facts) -> Finding:
    if facts.real_time:
        return Finding("real-time priority", Verdict.GOOD, "permitted")
    return Finding(
        "real-time priority",
        Verdict.POOR,
        "not permitted",
        "ulimit -r 10, LimitRTPRIO=10, or the capability SYS_NICE",
        "the thread that starts kernels is never kept waiting by ordinary processes",
    )


def _locked_memory(facts: Facts) -> Finding:
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


def _compiler(facts: Facts) -> Finding:
    if facts.compiler is not None:
        return Finding("nvcc", Verdict.GOOD, facts.compiler)
    return Finding(
        "nvcc",
        Verdict.BAD,
        "not found",
        "install the CUDA toolkit's compiler, or convert elsewhere: clockwork-triton convert --target cuda",
        "models can be converted here",
    )


def _management(facts: Facts) -> Finding:
    if facts.states is not None:
        return Finding("management library", Verdict.GOOD, "tells clocks and power")
    return Finding(
        "management library",
        Verdict.POOR,
        "not to be asked",
        "pip install 'clockwork-triton[cuda]'",
        "metrics of GPUs, and estimates that follow their clocks",
    )


def _gpu(gpu: GpuState) -> Iterator[Finding]:
    name = f"GPU {gpu.index}"
    yield _clock(gpu, name)
    if gpu.persistent is False:
        yield Finding(
            f"{name} persistence",
            Verdict.POOR,
            "off",
            f"nvidia-smi -i {gpu.index} -pm 1",
            "the driver keeps the GPU set up between processes: workers start sooner, and settings stay",
        )
    if gpu.reasons is not None and gpu.reasons & SLOWDOWNS:
        yield Finding(
            f"{name} slowdown",
            Verdict.POOR,
            "it slows itself down for heat or for power",
            "see to its cooling and its supply",
            "its highest clock, and times that repeat",
        )
    elif gpu.reasons is not None and gpu.reasons & POWER_CAP:
        yield Finding(
            f"{name} power",
            Verdict.POOR,
            "at its limit of power",
            f"lock a lower clock: nvidia-smi -i {gpu.index} -lgc",
            "times that repeat, since its clock no longer follows what the kernels happen to draw",
        )
    if gpu.max_link_width is not None and (gpu.link_width or 0) < gpu.max_link_width:
        yield Finding(
            f"{name} bus",
            Verdict.POOR,
            f"{gpu.link_width} lanes of {gpu.max_link_width}",
            "put it into a slot of its own width",
            "LOADs in proportion",
        )


def _clock(gpu: GpuState, name: str) -> Finding:
    """Whether the clock is locked is not told; an idle GPU lets it fall where it is not."""
    subject = f"{name} clock"
    if not gpu.clock_mhz or not gpu.max_clock_mhz:
        return Finding(subject, Verdict.POOR, "it does not tell")
    found = f"{gpu.clock_mhz} of {gpu.max_clock_mhz} MHz"
    if gpu.clock_mhz >= LOCKED * gpu.max_clock_mhz:
        return Finding(subject, Verdict.GOOD, found)
    if (gpu.utilization or 0) > IDLE_UTILIZATION:
        return Finding(
            subject, Verdict.POOR, f"{found} while it works: it cannot be told whether it is locked"
        )
    return Finding(
        subject,
        Verdict.POOR,
        f"{found} while it idles: not locked",
        f"nvidia-smi -i {gpu.index} -lgc CLOCK, of those that nvidia-smi -q -d SUPPORTED_CLOCKS names",
        "times within a thousandth of each other (0.03 % in Clockwork's paper), not within percents",
    )
