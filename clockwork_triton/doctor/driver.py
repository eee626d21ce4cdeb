"""What is to be said of the driver, and of what stands around it."""

from __future__ import annotations

from collections.abc import Iterator

from clockwork_triton.doctor.facts import Facts
from clockwork_triton.doctor.finding import Finding, Verdict
from clockwork_triton.worker.cuda.version import NEEDED, text_of
from clockwork_triton.worker.cuda.visible import NO_DEVICE, hides_all
from clockwork_triton.worker.suitability import OLDEST

SUBJECT = "GPUs"
ON_CPU = "models are served on the CPU"
WITHOUT = "without it models are served on the CPU"

# By the CUresult of cuInit.
ADVICE: dict[int, str] = {
    34: "take the toolkit's stubs folder off LD_LIBRARY_PATH: its libcuda only serves to link with",
    304: "see dmesg, and whether the /dev/nvidia* files are there and may be opened",
    802: "start the fabric manager, of the driver's very version (systemctl start nvidia-fabricmanager): "
    "GPUs behind NVSwitch, as in HGX H100 and H200, need it",
    803: "reboot, or reload the kernel's module (rmmod nvidia_uvm nvidia; modprobe nvidia): it is of another "
    "version than libcuda, as after an update of the driver; restart containers that were there before",
    804: "take the cuda-compat package, or its folder, off the library path: this GPU needs the driver's own "
    "libcuda",
    999: "see dmesg for errors of the GPU (Xid), and reload nvidia_uvm (rmmod nvidia_uvm; modprobe "
    "nvidia_uvm), as after a suspend",
}
OTHERWISE = "see what nvidia-smi and dmesg say"


def driver(facts: Facts) -> Iterator[Finding]:
    """Whether it gives GPUs."""
    found = facts.driver
    if found.gpus:
        version = f", driver {found.version}" if found.version else ""
        yield Finding(SUBJECT, Verdict.GOOD, f"{found.gpus} found{version}")
    elif found.missing and not facts.setups:
        yield Finding(SUBJECT, Verdict.GOOD, f"none: {found.error}; {ON_CPU}")
    elif found.missing:
        yield Finding(
            SUBJECT,
            Verdict.BAD,
            f"{found.error}, though there are {len(facts.setups or ())}",
            "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility, or install the driver's "
            "libcuda",
            WITHOUT,
        )
    elif found.status == NO_DEVICE or not found.error:
        yield _no_device(facts)
    elif found.cuda is not None and found.cuda < NEEDED:
        yield Finding(
            SUBJECT,
            Verdict.BAD,
            found.error,
            "install it, or on a data centre's GPU the package cuda-compat",
            WITHOUT,
        )
    else:
        yield Finding(
            SUBJECT,
            Verdict.BAD,
            f"the driver does not work: {found.error}",
            ADVICE.get(found.status, OTHERWISE),
            WITHOUT,
        )


def _no_device(facts: Facts) -> Finding:
    visible = facts.driver.visible
    if visible is not None and hides_all(visible):
        return Finding(SUBJECT, Verdict.GOOD, f"none: CUDA_VISIBLE_DEVICES hides them; {ON_CPU}")
    if visible is not None:
        return Finding(
            SUBJECT,
            Verdict.BAD,
            f"the driver finds none of CUDA_VISIBLE_DEVICES={visible}",
            "name GPUs that nvidia-smi -L lists, or unset it",
            WITHOUT,
        )
    if facts.setups:
        return Finding(
            SUBJECT,
            Verdict.BAD,
            f"the driver finds none, though there are {len(facts.setups)}",
            "see whether /dev/nvidia-uvm is there (modprobe nvidia_uvm) and may be opened, and what is said "
            "of each GPU here",
            WITHOUT,
        )
    if facts.setups is not None:
        return Finding(SUBJECT, Verdict.GOOD, f"none, though there is a driver; {ON_CPU}")
    return Finding(
        SUBJECT,
        Verdict.POOR,
        f"the driver finds none; {ON_CPU}",
        "see whether nvidia-smi finds one",
        "models served on it",
    )


def old(facts: Facts) -> Iterator[Finding]:
    """The GPUs that a server leaves out."""
    oldest = text_of(OLDEST)
    for number, capability in facts.driver.old.items():
        yield Finding(
            f"cuda:{number}",
            Verdict.POOR,
            f"not used: compute capability {text_of(capability)}, while models are compiled for {oldest} and "
            "newer",
            f"a GPU of compute capability {oldest} or newer in its place",
            "models served on it",
        )


def version(facts: Facts) -> Finding:
    """Which CUDA a driver has that gives GPUs."""
    found = facts.driver.cuda
    if found is None:
        return Finding("CUDA", Verdict.POOR, "the driver does not tell which it has")
    return Finding("CUDA", Verdict.GOOD, f"{text_of(found)} is the driver's")


def compiler(facts: Facts) -> Finding:
    """Whether there is one whose code the driver takes: that of the same major version, older or newer."""
    if facts.compiler is None:
        return Finding(
            "nvcc",
            Verdict.BAD,
            "not found",
            "install the CUDA toolkit's compiler and g++, or convert elsewhere: clockwork-triton convert "
            "--target cuda",
            "models can be converted here",
        )
    if facts.host_compiler is None:
        return Finding(
            "nvcc",
            Verdict.BAD,
            f"{facts.compiler}, but no g++, which it calls",
            "install g++, or name another compiler in NVCC_CCBIN",
            "models can be converted here",
        )
    own, drivers = facts.compiler_cuda, facts.driver.cuda
    found = facts.compiler if own is None else f"{facts.compiler}, of CUDA {text_of(own)}"
    if own is None or drivers is None or own[0] <= drivers[0]:
        return Finding("nvcc", Verdict.GOOD, found)
    return Finding(
        "nvcc",
        Verdict.BAD,
        f"{found}, newer than the driver's {text_of(drivers)}",
        f"install a driver of CUDA {own[0]}, or have an nvcc of CUDA {drivers[0]} first on the PATH",
        "what is converted here loads here: within a major version it does, across two it may not",
    )


def management(facts: Facts) -> Finding:
    """Whether the management library is to be asked."""
    if facts.setups is not None:
        return Finding("management library", Verdict.GOOD, "tells clocks and power")
    return Finding(
        "management library",
        Verdict.POOR,
        "not to be asked",
        "pip install 'clockwork-triton[cuda]'",
        "metrics of GPUs, estimates that follow their clocks, and what this page says of each",
    )
