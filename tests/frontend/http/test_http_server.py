"""The application behind its real server, asked by Triton's own clients."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.http.server import HttpServer
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.repository.model import ServedModel
from tests.compatibility import covers
from tests.frontend.fakes import FakeEngine, run, simple_inputs
from tests.frontend.http.asgi import Bench
from tests.frontend.test_grpc_operations import FakeControl


@asynccontextmanager
async def listening(*models: ServedModel, **options: Any) -> AsyncIterator[tuple[Bench, str]]:
    bench = Bench(*models, **options)
    server = HttpServer(bench.app)
    port = await server.start("127.0.0.1", 0)
    try:
        yield bench, f"127.0.0.1:{port}"
    finally:
        await server.stop(1.0)


def with_sync_client(work: Callable[[Bench, triton.InferenceServerClient], None], **options: Any) -> None:
    def ask(bench: Bench, address: str) -> None:
        with triton.InferenceServerClient(address) as client:
            work(bench, client)

    async def test() -> None:
        async with listening(**options) as (bench, address):
            await asyncio.to_thread(ask, bench, address)

    run(test())


def outputs(**options: Any) -> list[Any]:
    return [triton.InferRequestedOutput(name, **options) for name in ("OUTPUT0", "OUTPUT1")]


def check(result: Any, rows: int = 1) -> None:
    counted = np.arange(rows * 16, dtype=np.int32).reshape(rows, 16)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), counted + 1)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), counted - 1)


@covers("route POST /v2/models/M/infer")
@covers("route GET /v2/health/live")
@covers("route GET /v2/health/ready")
@covers("route GET /v2")
@covers("route GET /v2/models/M/ready")
@covers("route GET /v2/models/M")
@covers("route GET /v2/models/M/config")
@covers("route GET /v2/models/M/stats")
@covers("route POST /v2/repository/index")
@covers("route GET, POST /v2/models/M/trace/setting")
@covers("route GET, POST /v2/logging")
def test_the_synchronous_client() -> None:
    def work(bench: Bench, client: triton.InferenceServerClient) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("simple")
        assert not client.is_model_ready("nobody")
        assert client.get_server_metadata()["name"] == "triton"
        assert client.get_model_metadata("simple")["name"] == "simple"
        assert client.get_model_config("simple")["max_batch_size"] == 8
        assert client.get_model_repository_index()[0]["state"] == "READY"
        check(client.infer("simple", simple_inputs(2, triton), request_id="7"), 2)
        check(client.infer("simple", simple_inputs(1, triton), outputs=outputs(binary_data=False)))
        packed = client.infer(
            "simple",
            simple_inputs(8, triton),
            request_compression_algorithm="gzip",
            response_compression_algorithm="deflate",
        )
        check(packed, 8)
        check(client.async_infer("simple", simple_inputs(1, triton)).get_result())
        classes = client.infer("simple", simple_inputs(1, triton), outputs=outputs(class_count=1))
        assert classes.as_numpy("OUTPUT0").tolist() == [[b"16:15"]]
        stats = client.get_inference_statistics("simple")["model_stats"][0]
        assert stats["inference_stats"]["success"]["count"] == 5
        assert client.get_trace_settings("simple")["trace_level"] == ["OFF"]
        assert client.update_log_settings({"log_verbose_level": 1})["log_verbose_level"] == 1
        with pytest.raises(InferenceServerException) as caught:
            client.infer("nobody", simple_inputs(1, triton))
        assert (caught.value.status(), caught.value.message()) == (
            "404",
            "Request for unknown model: 'nobody' is not found",
        )

    with_sync_client(work)


@covers("route POST /v2/repository/models/M/load")
@covers("route POST /v2/repository/models/M/unload")
@covers("route POST /v2/systemsharedmemory/region/R/register")
@covers("route GET /v2/systemsharedmemory/region/R/status")
@covers("route POST /v2/systemsharedmemory/unregister")
@covers("route POST /v2/cudasharedmemory/unregister")
def test_the_synchronous_client_controls_models_and_memory() -> None:
    def work(bench: Bench, client: triton.InferenceServerClient) -> None:
        client.load_model("m", config="{}", files={"file:1/model.onnx": b"x"})
        client.unload_model("m", unload_dependents=True)
        control = bench.plane.facilities.control
        assert isinstance(control, FakeControl)
        assert (control.loads, control.unloads) == (
            [("m", "{}", {"1/model.onnx": b"x"})],
            ["m with what it is made of"],
        )
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
        region = shm.create_shared_memory_region("r", "/clockwork_test_http", 128)
        try:
            shm.set_shared_memory_region(region, [np.arange(16, dtype=np.int32)])
            client.register_system_shared_memory("r", "/clockwork_test_http", 128)
            assert client.get_system_shared_memory_status("r")[0]["byte_size"] == 128
            inputs, wanted = simple_inputs(1, triton), outputs()
            inputs[0].set_shared_memory("r", 64)
            wanted[0].set_shared_memory("r", 64, offset=64)
            result = client.infer("simple", inputs, outputs=wanted)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), [np.arange(16) - 1])
            written = shm.get_contents_as_numpy(region, np.int32, [16], offset=64)
            np.testing.assert_array_equal(written, np.arange(16) + 1)
            client.unregister_system_shared_memory("r")
        finally:
            shm.destroy_shared_memory_region(region)

    with_sync_client(work, facilities=Facilities(SharedMemory(True), control=FakeControl()))


@covers("route POST /v2/models/M/infer")
def test_the_asynchronous_client() -> None:
    async def test() -> None:
        async with listening() as (_, address), triton_aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            many = await asyncio.gather(
                *(client.infer("simple", simple_inputs(1, triton)) for _ in range(20))
            )
            for result in many:
                check(result)
            assert (await client.get_model_metadata("simple"))["versions"] == ["1"]
            with pytest.raises(InferenceServerException, match="requested model 'x' is not available"):
                await client.get_inference_statistics("x")

    run(test())


def test_a_large_body_in_many_pieces() -> None:
    async def test() -> None:
        async with listening(app={"max_bytes": 1 << 20}) as (_, address):
            host, port = address.split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            text = json.dumps({"ready": False, "padding": "x" * 500_000}).encode()
            head = "POST /v2/repository/index HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(head.encode())
            for start in range(0, len(text), 9999):
                piece = text[start : start + 9999]
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            writer.write(b"0\r\n\r\n")
            assert b" 200 " in await reader.readline()
            writer.close()
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /v2/repository/index HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n")
            writer.write(bytes(2_000_000))
            answer = await reader.read()
            assert b" 400 " in answer.split(b"\r\n", 1)[0]
            assert b"exceeds the maximum allowed input size" in answer
            writer.close()

    run(test())


def test_requests_under_way_are_answered_before_the_server_stops() -> None:
    async def test() -> None:
        engine = FakeEngine(held=True)
        bench = Bench(engine=engine)
        server = HttpServer(bench.app)
        port = await server.start("127.0.0.1", 0)
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{port}") as client:
            task = asyncio.ensure_future(client.infer("simple", simple_inputs(1, triton)))
            await engine.until_waiting(1)
            stopping = asyncio.ensure_future(server.stop(5.0))
            engine.release()
            check(await task)
            await stopping

    run(test())


def test_a_port_that_is_taken() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(OSError, match=f"cannot listen for HTTP on 127.0.0.1:{port}"):
                await HttpServer(Bench().app).start("127.0.0.1", port)
        await HttpServer(Bench().app).stop(1.0)

    run(test())
