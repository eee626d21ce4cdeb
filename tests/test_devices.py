from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton import devices
from clockwork_triton.devices import Place, place, placed_request, precision, request_for
from clockwork_triton.errors import ServerError
from clockwork_triton.flags import parse_serve
from clockwork_triton.repository.loader import ModelSource
from clockwork_triton.worker.cuda.driver import CudaError, GpuFacts, NoDriverError
from clockwork_triton.worker.suitability import OLDEST
from converters import arch
from converters.request import ConversionRequest

DEVICES = ("cpu:0", "cuda:0", "cuda:2")
REQUEST = ConversionRequest(Path("model.onnx"), "m", 1, (1,))


def _source(*groups: tuple[str, tuple[int, ...]]) -> ModelSource:
    config = ModelConfig(name="m")
    for kind, gpus in groups:
        config.instance_group.add(kind=kind, gpus=gpus)
    return ModelSource("m", 1, Path("model.onnx"), config, {})


@pytest.mark.parametrize(
    ("groups", "where"),
    [
        ((("KIND_CPU", ()),), Place(frozenset({0}), ())),
        ((("KIND_GPU", (0, 2)),), Place(frozenset({1, 2}), (0, 2))),
        ((("KIND_GPU", (2,)),), Place(frozenset({2}), (2,))),
        ((("KIND_GPU", (0,)), ("KIND_GPU", (2,))), Place(frozenset({1, 2}), (0, 2))),
        ((("KIND_CPU", ()), ("KIND_GPU", (0,))), Place(frozenset({1}), (0,))),
    ],
)
def test_instance_groups_say_which_devices_serve(
    groups: tuple[tuple[str, tuple[int, ...]], ...], where: Place
) -> None:
    assert place(_source(*groups), DEVICES) == where


def test_a_model_for_the_cpu_on_a_server_of_gpus_is_refused() -> None:
    with pytest.raises(ServerError, match="'m' asks for a CPU, and the server has cuda:0, cuda:1: add cpu:0"):
        place(_source(("KIND_CPU", ())), ("cuda:0", "cuda:1"))


def _gpus(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    def facts(ordinal: int) -> GpuFacts:
        if ordinal >= len(capabilities):
            raise CudaError(f"there is no GPU {ordinal}")
        capability = capabilities[ordinal]
        return GpuFacts("GPU", capability, 1 << 30, 1, "0000:01:00.0", "GPU-0", 99 << 10, (13, 0))

    monkeypatch.setattr(devices.libcuda, "facts", facts)
    monkeypatch.setattr(devices.libcuda, "count", lambda: len(capabilities))


def test_a_model_is_compiled_for_the_gpus_that_serve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, (9, 0), (8, 0), (9, 0))
    placed = placed_request(REQUEST, Place(frozenset({0, 2}), (0, 2)))
    assert (placed.target, placed.arch) == ("cuda", "sm_90")
    assert placed_request(REQUEST, Place(frozenset({0}), ())) == REQUEST
    with pytest.raises(ServerError, match=r"GPUs of several kinds \(cuda:0 sm_90, cuda:1 sm_80\)"):
        placed_request(REQUEST, Place(frozenset({0, 1}), (0, 1)))


def test_a_device_on_the_command_line_says_what_to_compile_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, (9, 0), (8, 6))
    assert request_for(REQUEST, "cuda:1").arch == "sm_86"
    assert request_for(REQUEST, "cuda").arch == "sm_90"
    assert request_for(REQUEST, "emulated:toy") == REQUEST
    with pytest.raises(ServerError, match="there is no GPU 5"):
        request_for(REQUEST, "cuda:5")


def test_every_gpu_is_found_and_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, (9, 0), (9, 0))
    assert devices.found_devices() == (("cuda:0", "cuda:1", "cpu:0"), "")
    _gpus(monkeypatch)
    assert devices.found_devices() == (("cpu:0",), "")


def test_gpus_that_nothing_can_be_compiled_for_are_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _gpus(monkeypatch, (7, 5), (8, 0), (6, 1))
    found, warning = devices.found_devices()
    assert found == ("cuda:1", "cpu:0")
    assert warning == (
        "GPUs not used: cuda:0 (GPU has compute capability 7.5, and models are compiled for 8.0 or newer), "
        "cuda:2 (GPU has compute capability 6.1, and models are compiled for 8.0 or newer)"
    )
    _, notices = parse_serve(["--model-repository=/models"], ["adaptive"])
    assert notices == [warning]
    assert divmod(arch.OLDEST, 10) == OLDEST, "as the converters have it"


def test_a_gpu_that_does_not_say_what_it_is_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, (9, 0))
    monkeypatch.setattr(devices.libcuda, "count", lambda: 2)
    found, warning = devices.found_devices()
    assert found == ("cuda:0", "cpu:0")
    assert warning == "GPUs not used: cuda:1 (there is no GPU 1)"
    devices.check_gpus(found)


def test_a_gpu_that_is_asked_for_must_be_one_that_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, (8, 0), (7, 5))
    devices.check_gpus(("cpu:0", "cuda", "emulated:toy"))
    with pytest.raises(ServerError) as old:
        devices.check_gpus(("cuda:0", "cuda:1"))
    assert old.value.message == (
        "cuda:1 cannot be used: GPU has compute capability 7.5, and models are compiled for 8.0 or newer"
    )
    with pytest.raises(ServerError, match="cuda:5 cannot be used: there is no GPU 5"):
        devices.check_gpus(("cuda:5",))


@pytest.mark.parametrize(
    ("error", "visible", "warned"),
    [
        (NoDriverError("there is no CUDA driver here"), None, False),
        (CudaError("cuInit: system not yet initialized (802)", status=802), None, True),
        (CudaError("cuInit: system not yet initialized (802)", status=802), "", True),
        (CudaError("cuInit: no device (100)", status=100), None, True),
        (CudaError("cuInit: no device (100)", status=100), "3", True),
        (CudaError("cuInit: no device (100)", status=100), "-1", False),
    ],
    ids=str,
)
def test_a_driver_that_fails_is_no_machine_without_gpus(
    monkeypatch: pytest.MonkeyPatch, error: CudaError, visible: str | None, warned: bool
) -> None:
    def count() -> int:
        raise error

    monkeypatch.setattr(devices.libcuda, "count", count)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    found, warning = devices.found_devices()
    assert found == ("cpu:0",)
    assert (str(error) in warning) is warned
    _, notices = parse_serve(["--model-repository=/models"], ["adaptive"])
    assert [notice for notice in notices if str(error) in notice] == ([warning] if warned else [])
    _, notices = parse_serve(["--model-repository=/models", "--device=cpu:0"], ["adaptive"])
    assert notices == []


def test_a_gpu_says_what_it_is_and_other_devices_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpus(monkeypatch, (9, 0))
    facts = devices.gpu_facts("cuda:0")
    assert facts is not None
    assert facts.pci_bus_id == "0000:01:00.0"
    assert [devices.gpu_facts(device) for device in ("cpu:0", "emulated", "cuda:5")] == [None] * 3


def test_memory_that_is_not_named_depends_on_the_device() -> None:
    assert (devices.default_memory("cpu:0"), devices.default_memory("cuda:1")) == (1 << 30, 0)
    assert devices.slot_bytes("cuda:0") < devices.slot_bytes("cpu:0")


def test_the_precision_is_the_configurations() -> None:
    config = ModelConfig(name="m")
    assert precision(config) == "tf32"
    config.parameters["precision"].string_value = "fp32"
    assert precision(config) == "fp32"
    config.parameters["precision"].string_value = "int4"
    with pytest.raises(ServerError, match="'precision' of 'm' is 'int4': expected tf32, fp32, fp16"):
        precision(config)
