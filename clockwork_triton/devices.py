"""The devices of this machine, which of them a model is served on, and what it is compiled for there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.loader import ModelSource
from clockwork_triton.worker.cuda import libcuda
from clockwork_triton.worker.cuda.driver import CudaError, GpuFacts, NoDriverError
from clockwork_triton.worker.cuda.version import text_of
from clockwork_triton.worker.cuda.visible import NO_DEVICE, hides_all, visible
from clockwork_triton.worker.suitability import OLDEST
from converters.request import PRECISIONS, ConversionRequest

PRECISION = "precision"
"""The parameter of a configuration that says how exactly a GPU multiplies."""


def found_devices() -> tuple[tuple[str, ...], str]:
    """Every GPU that models can be compiled for, and the CPU: for models whose configuration asks for it, and
    for all where no GPU is. And what is to be said of a driver that gives none and of GPUs that are left out;
    empty where there is nothing."""
    gpus, warning = 0, ""
    try:
        gpus = libcuda.count()
    except NoDriverError:
        pass
    except CudaError as error:
        if not (error.status == NO_DEVICE and hides_all(visible())):
            warning = (
                f"no GPU is used, for the driver does not work: {error}. Models are served on the CPU; "
                "clockwork-triton doctor says what to do"
            )
    reasons = {f"cuda:{ordinal}": _unusable(ordinal) for ordinal in range(gpus)}
    if unusable := [f"{device} ({reason})" for device, reason in reasons.items() if reason]:
        warning = f"GPUs not used: {', '.join(unusable)}"
    return (*(device for device, reason in reasons.items() if not reason), "cpu:0"), warning


def check_gpus(devices: Sequence[str]) -> None:
    """ServerError, with the reason, if one of the devices is a GPU that cannot be used."""
    for device in devices:
        gpu = gpu_of(device)
        if gpu is not None and (reason := _unusable(gpu)):
            raise ServerError(Code.INVALID_ARG, f"{device} cannot be used: {reason}")


def _unusable(ordinal: int) -> str:
    """Why a GPU cannot be used: it does not say what it is, or nothing can be compiled for it. Empty where it
    can."""
    try:
        gpu = libcuda.facts(ordinal)
    except CudaError as error:
        return str(error)
    if gpu.capability >= OLDEST:
        return ""
    own, oldest = text_of(gpu.capability), text_of(OLDEST)
    return f"{gpu.name} has compute capability {own}, and models are compiled for {oldest} or newer"


def gpu_facts(device: str) -> GpuFacts | None:
    """What the GPU that a device is says of itself; None if it is none or does not say."""
    gpu = gpu_of(device)
    try:
        return None if gpu is None else libcuda.facts(gpu)
    except CudaError:
        return None


def gpu_arch(ordinal: int = 0) -> str:
    """What code for this GPU is compiled for, such as sm_90. ServerError if it is not there."""
    try:
        major, minor = libcuda.facts(ordinal).capability
    except CudaError as error:
        raise ServerError(Code.INVALID_ARG, str(error)) from error
    return f"sm_{major}{minor}"


def default_memory(device: str) -> int:
    """Bytes for weights where nothing is said; 0: all that is left of a GPU's memory."""
    return 0 if gpu_of(device) is not None else 1 << 30


def slot_bytes(device: str) -> int:
    """Of an I/O slot. A GPU has a place for each in its own memory, and the host's is fixed in place."""
    return 64 << 20 if gpu_of(device) is not None else 256 << 20


def worker_cores(device: str, threads: int = 1) -> int:
    """Cores that a worker has use for. With a GPU one that starts kernels and waits for them, and one for all
    else; without, one for each of the threads that share a kernel."""
    return 2 if gpu_of(device) is not None else threads


@dataclass(frozen=True)
class Place:
    """`workers`: the numbers of the devices that serve a model; `gpus`: which GPUs these are, if any."""

    workers: frozenset[int]
    gpus: tuple[int, ...]


def place(source: ModelSource, devices: Sequence[str]) -> Place:
    """Where the instance groups of a completed configuration ask for it to be served.

    ServerError if the server has no such device. A model is served on GPUs or on CPUs: where it asks for both
    it gets the GPUs.
    """
    ordinals = {number: gpu_of(device) for number, device in enumerate(devices)}
    groups = source.config.instance_group
    wanted = {gpu for group in groups if group.kind == ModelInstanceGroup.KIND_GPU for gpu in group.gpus}
    gpus = {number: gpu for number, gpu in ordinals.items() if gpu is not None and gpu in wanted}
    if gpus:
        return Place(frozenset(gpus), tuple(sorted(gpus.values())))
    others = frozenset(number for number, gpu in ordinals.items() if gpu is None)
    if not others:
        raise ServerError(
            Code.INVALID_ARG,
            f"instance_group of '{source.name}' asks for a CPU, and the server has {', '.join(devices)}: add "
            "cpu:0 to --device",
        )
    return Place(others, ())


def gpu_of(device: str) -> int | None:
    """The number of the GPU that a device is, if it is one."""
    family, _, number = device.partition(":")
    return int(number or 0) if family == "cuda" else None


def request_for(request: ConversionRequest, device: str) -> ConversionRequest:
    """The request for an artifact that runs on a device. ServerError if there is no such GPU."""
    gpu = gpu_of(device)
    return request if gpu is None else replace(request, target="cuda", arch=gpu_arch(gpu))


def placed_request(request: ConversionRequest, where: Place) -> ConversionRequest:
    """The request for an artifact that runs there. ServerError for GPUs that cannot share one."""
    if not where.gpus:
        return request
    archs = {gpu: gpu_arch(gpu) for gpu in where.gpus}
    if len(set(archs.values())) > 1:
        kinds = ", ".join(f"cuda:{gpu} {arch}" for gpu, arch in archs.items())
        raise ServerError(
            Code.INVALID_ARG,
            f"'{request.name}' would be served on GPUs of several kinds ({kinds}): name those of one kind in "
            "its instance_group",
        )
    return replace(request, target="cuda", arch=archs[where.gpus[0]])


def precision(config: Any) -> str:
    """The precision that a configuration asks for. ServerError if there is no such."""
    if PRECISION not in config.parameters:
        return PRECISIONS[0]
    value = str(config.parameters[PRECISION].string_value)
    if value not in PRECISIONS:
        raise ServerError(
            Code.INVALID_ARG,
            f"parameter '{PRECISION}' of '{config.name}' is '{value}': expected {', '.join(PRECISIONS)}",
        )
    return value
