"""The RPCs that change something, through a real server and Triton's own clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.telemetry.trace_settings import TraceSettings
from clockwork_triton.telemetry.tracer import Tracer
from tests.compatibility import covers
from tests.frontend.fakes import FakeEngine, run, serving, simple, simple_inputs


class FakeControl:
    def __init__(self) -> None:
        self.loads: list[tuple[str, str | None, dict[str, bytes]]] = []
        self.unloads: list[str] = []

    async def load(self, name: str, config: str | None = None, files: Mapping[str, bytes] = {}) -> None:
        if name == "broken":
            raise ServerError(Code.INTERNAL, f"failed to load '{name}', failed to poll from model repository")
        self.loads.append((name, config, dict(files)))

    def unload(self, name: str, dependents: bool = False) -> None:
        self.unloads.append(f"{name} with what it is made of" if dependents else name)


def refusal(code: str, message: str) -> Any:
    return pytest.raises(
        InferenceServerException,
        check=lambda error: (error.status(), error.message()) == (f"StatusCode.{code}", message),
    )


@pytest.fixture
def facilities() -> Facilities:
    return Facilities(SharedMemory(allowed=True), control=FakeControl())


@pytest.fixture
def regions() -> Iterator[dict[str, Any]]:
    """Two real regions of 64 bytes, /clockwork_test_in and /clockwork_test_out."""
    handles = {
        name: shm.create_shared_memory_region(name, f"/clockwork_test_{name}", 64) for name in ("in", "out")
    }
    yield handles
    for handle in handles.values():
        shm.destroy_shared_memory_region(handle)


@covers("RPC RepositoryModelLoad")
@covers("RPC RepositoryModelUnload")
def test_models_are_loaded_and_unloaded(facilities: Facilities) -> None:
    async def test() -> None:
        control = facilities.control
        assert isinstance(control, FakeControl)
        async with serving(facilities=facilities) as server:
            await server.client.load_model("a")
            config = json.dumps({"max_batch_size": "16"})
            await server.client.load_model("b", config=config, files={"file:1/model.onnx": b"\x00onnx"})
            assert control.loads == [("a", None, {}), ("b", config, {"1/model.onnx": b"\x00onnx"})]
            await server.client.unload_model("a")
            await server.client.unload_model("b", unload_dependents=True)
            assert control.unloads == ["a", "b with what it is made of"]
            with refusal("INTERNAL", "failed to load 'broken', failed to poll from model repository"):
                await server.client.load_model("broken")

    run(test())


@covers("RPC RepositoryModelLoad")
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"other": {"string_param": "x"}}, "unrecognized load parameter 'other'."),
        (
            {"config": {"bytes_param": b"x"}},
            "invalid value type for load parameter 'config', expected string_param.",
        ),
        (
            {"file:1/m": {"string_param": "x"}},
            "invalid value type for load parameter 'file:1/m', expected bytes_param.",
        ),
    ],
)
def test_wrong_load_parameters_are_refused(
    facilities: Facilities, parameters: dict[str, Any], message: str
) -> None:
    async def test() -> None:
        async with serving(facilities=facilities) as server:
            request = service_pb2.RepositoryModelLoadRequest(model_name="m")
            for key, value in parameters.items():
                request.parameters[key].MergeFrom(service_pb2.ModelRepositoryParameter(**value))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.RepositoryModelLoad(request)
            assert (caught.value.code(), caught.value.details()) == (
                grpc.StatusCode.INVALID_ARGUMENT,
                message,
            )

    run(test())


def test_other_repositories_and_wrong_unload_parameters_are_refused(facilities: Facilities) -> None:
    async def test() -> None:
        async with serving(facilities=facilities) as server:
            for rpc in ("RepositoryModelLoad", "RepositoryModelUnload"):
                request = getattr(service_pb2, f"{rpc}Request")(repository_name="r", model_name="m")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await getattr(server.stub, rpc)(request)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                assert caught.value.details() == "'repository_name' specification is not supported"
            unload = service_pb2.RepositoryModelUnloadRequest(model_name="m")
            unload.parameters["unload_dependents"].int64_param = 1
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.RepositoryModelUnload(unload)
            assert caught.value.details() == (
                "invalid value type for 'unload_dependents' parameter, expected bool_param."
            )

    run(test())


def test_models_are_not_controlled_by_clients_where_nobody_allows_it() -> None:
    async def test() -> None:
        async with serving() as server:
            message = "explicit model load / unload is not allowed if polling is enabled"
            with refusal("UNAVAILABLE", message):
                await server.client.load_model("a")
            with refusal("UNAVAILABLE", message):
                await server.client.unload_model("a")

    run(test())


@covers("RPC SystemSharedMemoryRegister")
@covers("RPC SystemSharedMemoryStatus")
@covers("RPC SystemSharedMemoryUnregister")
def test_tensors_in_shared_memory(facilities: Facilities, regions: dict[str, Any]) -> None:
    async def test() -> None:
        async with serving(facilities=facilities) as server:
            client = server.client
            await client.unregister_system_shared_memory()
            await client.unregister_cuda_shared_memory()
            for name in regions:
                await client.register_system_shared_memory(name, f"/clockwork_test_{name}", 64)
            status = await client.get_system_shared_memory_status()
            assert {(r.name, r.key, r.byte_size) for r in status.regions.values()} == {
                ("in", "/clockwork_test_in", 64),
                ("out", "/clockwork_test_out", 64),
            }
            counted = np.arange(16, dtype=np.int32).reshape(1, 16)
            shm.set_shared_memory_region(regions["in"], [counted])
            inputs = simple_inputs()
            inputs[0] = triton.InferInput("INPUT0", [1, 16], "INT32")
            inputs[0].set_shared_memory("in", 64)
            outputs = [triton.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
            outputs[0].set_shared_memory("out", 64)
            result = await client.infer("simple", inputs, outputs=outputs)
            written = shm.get_contents_as_numpy(regions["out"], np.int32, [1, 16])
            np.testing.assert_array_equal(written, counted + 1)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), counted - 1)
            assert [len(raw) for raw in result.get_response().raw_output_contents] == [0, 64]
            assert facilities.shared_memory.status("in")[0].users == 0
            await client.unregister_system_shared_memory("in")
            with refusal("NOT_FOUND", "Unable to find shared memory region: 'in'"):
                await client.infer("simple", inputs, outputs=outputs)
            await client.unregister_system_shared_memory()
            assert not (await client.get_system_shared_memory_status()).regions

    run(test())


def test_an_output_that_does_not_fit_its_region(facilities: Facilities, regions: dict[str, Any]) -> None:
    async def test() -> None:
        async with serving(facilities=facilities) as server:
            await server.client.register_system_shared_memory("out", "/clockwork_test_out", 64)
            output = triton.InferRequestedOutput("OUTPUT0")
            output.set_shared_memory("out", 63)
            with refusal(
                "INTERNAL",
                "shared memory size specified with the request for output 'OUTPUT0' (63 bytes) should be at "
                "least 64 bytes to hold the results",
            ):
                await server.client.infer("simple", simple_inputs(), outputs=[output])
            assert facilities.shared_memory.status("out")[0].users == 0

    run(test())


def test_an_input_in_shared_memory_of_the_wrong_size(facilities: Facilities, regions: dict[str, Any]) -> None:
    async def test() -> None:
        async with serving(facilities=facilities) as server:
            await server.client.register_system_shared_memory("in", "/clockwork_test_in", 64)
            inputs = simple_inputs()
            inputs[0].set_shared_memory("in", 32)
            with pytest.raises(InferenceServerException, match="Expected 64, got 32"):
                await server.client.infer("simple", inputs)

    run(test())


@covers("RPC SystemSharedMemoryUnregister")
def test_a_region_is_held_while_a_request_uses_it(facilities: Facilities, regions: dict[str, Any]) -> None:
    async def test() -> None:
        engine = FakeEngine(held=True)
        async with serving(facilities=facilities, engine=engine) as server:
            await server.client.register_system_shared_memory("out", "/clockwork_test_out", 64)
            output = triton.InferRequestedOutput("OUTPUT0")
            output.set_shared_memory("out", 64)
            call = server.client.infer("simple", simple_inputs(), outputs=[output])
            task = asyncio.ensure_future(call)
            await engine.until_waiting(1)
            await server.client.unregister_system_shared_memory("out")
            assert (await server.client.get_system_shared_memory_status()).regions
            engine.release()
            await task
            assert not (await server.client.get_system_shared_memory_status()).regions
            written = shm.get_contents_as_numpy(regions["out"], np.int32, [16])
            np.testing.assert_array_equal(written, np.arange(16) + 1)

    run(test())


@covers("RPC CudaSharedMemoryRegister", "refused", "as Triton without a GPU")
@covers("RPC CudaSharedMemoryStatus")
@covers("RPC CudaSharedMemoryUnregister")
def test_cuda_memory_is_refused(facilities: Facilities) -> None:
    async def test() -> None:
        async with serving(facilities=facilities) as server:
            client = server.client
            with refusal(
                "INVALID_ARGUMENT",
                "failed to register CUDA shared memory region: 'c', GPUs not supported",
            ):
                await client.register_cuda_shared_memory("c", b"aGFuZGxl", 0, 64)
            with refusal("NOT_FOUND", "Unable to find cuda shared memory region: 'c'"):
                await client.get_cuda_shared_memory_status("c")
            assert not (await client.get_cuda_shared_memory_status()).regions
            await client.unregister_cuda_shared_memory("c")

    run(test())


@covers("classification")
def test_classification() -> None:
    async def test() -> None:
        model = simple()
        labelled = type(model)(**{**vars_of(model), "labels": {"OUTPUT0": ("zero", "one")}})
        async with serving(labelled) as server:
            outputs = [
                triton.InferRequestedOutput("OUTPUT0", class_count=2),
                triton.InferRequestedOutput("OUTPUT1", class_count=1),
            ]
            result = await server.client.infer("simple", simple_inputs(rows=2), outputs=outputs)
            assert result.as_numpy("OUTPUT0").tolist() == [[b"16:15", b"15:14"], [b"32:15", b"31:14"]]
            assert result.as_numpy("OUTPUT1").tolist() == [[b"14:15"], [b"30:15"]]
            outputs = [triton.InferRequestedOutput("OUTPUT0", class_count=99)]
            result = await server.client.infer("simple", simple_inputs(), outputs=outputs)
            assert result.as_numpy("OUTPUT0").shape == (1, 16)
            assert result.as_numpy("OUTPUT0")[0, -2:].tolist() == [b"2:1:one", b"1:0:zero"]

    run(test())


def vars_of(model: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.__dataclass_fields__}


@covers("RPC TraceSetting")
@covers("traces", "different", "Triton's JSON; times of sending are those of encoding")
def test_traces_are_written_as_set(tmp_path: Path) -> None:
    async def test() -> None:
        file = tmp_path / "trace.json"
        facilities = Facilities(tracer=Tracer(TraceSettings(file=str(file))))
        async with serving(facilities=facilities) as server:
            client = server.client
            await client.infer("simple", simple_inputs())
            settings = {"trace_level": ["TENSORS", "TIMESTAMPS"], "trace_rate": "1", "log_frequency": "2"}
            answer = await client.update_trace_settings("simple", settings, as_json=True)
            assert {name: setting["value"] for name, setting in answer["settings"].items()} == {
                "trace_level": ["TIMESTAMPS", "TENSORS"],
                "trace_rate": ["1"],
                "trace_count": ["-1"],
                "log_frequency": ["2"],
                "trace_file": [str(file)],
                "trace_mode": ["triton"],
            }
            for request_id in ("one", "two"):
                await client.infer("simple", simple_inputs(), request_id=request_id)
            await client.update_trace_settings("simple", {"trace_level": [], "trace_rate": []})
            globally = await client.get_trace_settings(as_json=True)
            assert globally["settings"]["trace_level"]["value"] == ["OFF"]
        traces = json.loads(Path(f"{file}.0").read_text())
        assert [entry for entry in traces if "model_name" in entry] == [
            {"id": 1, "model_name": "simple", "model_version": 1, "request_id": "one"},
            {"id": 2, "model_name": "simple", "model_version": 1, "request_id": "two"},
        ]
        names = [stamp["name"] for entry in traces for stamp in entry.get("timestamps", ())]
        assert names[: len(names) // 2] == [
            *("REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START"),
            *("COMPUTE_END", "REQUEST_END", "GRPC_WAITREAD_START", "GRPC_WAITREAD_END"),
            *("INFER_RESPONSE_COMPLETE", "GRPC_SEND_START", "GRPC_SEND_END"),
        ]
        tensors = [(entry["activity"], entry["tensor"]) for entry in traces if "tensor" in entry]
        counted = ",".join(map(str, range(16)))
        assert tensors[0] == (
            "TENSOR_QUEUE_INPUT",
            {"name": "INPUT0", "data": counted, "shape": "1,16", "dtype": "INT32"},
        )
        assert [activity for activity, _ in tensors[2:4]] == ["TENSOR_BACKEND_OUTPUT"] * 2

    run(test())


def test_wrong_trace_settings_are_refused() -> None:
    async def test() -> None:
        async with serving() as server:
            for settings, code, message in (
                (
                    {"trace_file": "f"},
                    "UNIMPLEMENTED",
                    "trace file location can not be updated through network protocol",
                ),
                ({"trace_rate": ["1", "2"]}, "INVALID_ARGUMENT", "expect only 1 value for 'trace_rate'"),
                (
                    {"trace_level": "TIMESTAMPS"},
                    "INVALID_ARGUMENT",
                    "Attempting to set invalid trace setting :trace file name is not given",
                ),
            ):
                with refusal(code, message):
                    await server.client.update_trace_settings(settings=settings)
            with refusal("INVALID_ARGUMENT", "Request for unknown model : nobody"):
                await server.client.get_trace_settings("nobody")

    run(test())


@covers("RPC LogSettings")
def test_log_settings_take_effect() -> None:
    async def test() -> None:
        facilities = Facilities()
        async with serving(facilities=facilities) as server:
            settings = {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601"}
            answer = await server.client.update_log_settings(settings, as_json=True)
            shown = {name: next(iter(value.values())) for name, value in answer["settings"].items()}
            assert shown == {
                "log_file": "",
                "log_info": False,
                "log_warning": True,
                "log_error": True,
                "log_verbose_level": 2,
                "log_format": "ISO8601",
            }
            assert facilities.log.settings.verbose == 2
            for wrong, code, message in (
                ({"log_format": "x"}, "INVALID_ARGUMENT", "invalid argument for log_format, got: x"),
                (
                    {"log_file": "x"},
                    "UNIMPLEMENTED",
                    "log file location can not be updated through network protocol",
                ),
            ):
                with refusal(code, message):
                    await server.client.update_log_settings({"log_warning": False, **wrong})
            assert facilities.log.settings.warning

    run(test())


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("log_info", {"uint32_param": 1}, "boolean"),
        ("log_verbose_level", {"bool_param": True}, "int32"),
        ("log_format", {"bool_param": True}, "string"),
    ],
)
def test_log_settings_have_types(name: str, value: dict[str, Any], word: str) -> None:
    async def test() -> None:
        async with serving() as server:
            request = service_pb2.LogSettingsRequest()
            request.settings[name].MergeFrom(service_pb2.LogSettingsRequest.SettingValue(**value))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.LogSettings(request)
            assert caught.value.details() == f"expect {word} for '{name}'"

    run(test())


def test_every_rpc_answers_the_synchronous_client_too(facilities: Facilities) -> None:
    def work(client: triton.InferenceServerClient) -> None:
        client.load_model("m")
        client.unload_model("m")
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
        client.get_system_shared_memory_status()
        client.get_cuda_shared_memory_status()
        client.get_trace_settings()
        client.get_log_settings()

    async def test() -> None:
        async with serving(facilities=facilities) as server:
            await server.in_thread(work)

    run(test())
