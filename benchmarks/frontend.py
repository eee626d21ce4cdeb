"""What the front end costs a request in CPU, with an engine that answers at once.

    python benchmarks/frontend.py --requests 20000 --concurrency 32

First without a transport, stage by stage, then over grpc.aio beside a server that answers every call with
the same bytes and so shows what grpc.aio costs by itself. The client has a process of its own; the figures
over gRPC are CPU time of the server's process.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import time
from collections.abc import Callable, Coroutine
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import model_config_pb2, service_pb2

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.frontend import codec
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.grpc_server import GrpcServer
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.service import Call, InferenceService
from clockwork_triton.inference import InferenceAnswer, InferenceCall
from clockwork_triton.repository.model import IndexEntry, ServedModel
from clockwork_triton.telemetry.statistics import Statistics

PATH = "/inference.GRPCInferenceService/ModelInfer"


class Engine:
    async def infer(self, call: InferenceCall) -> InferenceAnswer:
        return InferenceAnswer(tuple(bytes(data) for data in call.inputs), 1, call.rows, 1, 1, 1, 1)


class Index:
    def __init__(self, model: ServedModel) -> None:
        self._model = model

    def lookup(self, name: str, version: str) -> ServedModel:
        return self._model

    def served(self) -> list[ServedModel]:
        return [self._model]

    def entries(self) -> list[IndexEntry]:
        return []

    def all_ready(self) -> bool:
        return True


def make_service(floats: int) -> InferenceService:
    config = model_config_pb2.ModelConfig(name="echo", backend="onnxruntime", max_batch_size=8)
    inputs, outputs = TensorSpec("IN", "float32", (floats,)), TensorSpec("OUT", "float32", (floats,))
    model = ServedModel("echo", 1, 1, config, (inputs,), (outputs,), 8, None, (1, 2, 4, 8))
    plane = DataPlane(Index(model), Engine(), Statistics(), time.monotonic_ns)
    return InferenceService(plane, ServerIdentity("benchmark", "0"))


def make_request(floats: int) -> bytes:
    request = service_pb2.ModelInferRequest(model_name="echo", id="12345")
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.inputs.add(name="IN", datatype="FP32", shape=[1, floats])
    request.outputs.add(name="OUT")
    request.raw_input_contents.append(bytes(4 * floats))
    data: bytes = request.SerializeToString()
    return data


def stages(floats: int, rounds: int) -> None:
    """Prints microseconds of CPU a request, without a transport."""
    service, data = make_service(floats), make_request(floats)
    parsed = codec.parse_request(data)
    request = codec.decode_request(parsed)
    model = service.plane.model("echo", "")
    decode = partial(codec.decode_request, parsed)
    response = asyncio.run(service.plane.infer("echo", "", decode, 0))

    def spin(work: Callable[[], Any]) -> float:
        begin = time.process_time()
        for _ in range(rounds):
            work()
        return (time.process_time() - begin) / rounds * 1e6

    def spin_async(work: Callable[[], Coroutine[Any, Any, Any]]) -> float:
        async def loop() -> float:
            begin = time.process_time()
            for _ in range(rounds):
                await work()
            return (time.process_time() - begin) / rounds * 1e6

        return asyncio.run(loop())

    for name, microseconds in (
        ("parse", spin(lambda: codec.parse_request(data))),
        ("decode", spin(decode)),
        ("check", spin(lambda: model.checker.check(request))),
        (
            "data plane, decode and check included",
            spin_async(lambda: service.plane.infer("echo", "", decode, 0)),
        ),
        ("encode", spin(lambda: codec.encode_response(response))),
        ("everything", spin_async(lambda: service.model_infer(data, Call(0, None)))),
    ):
        print(f"  {name:40}{microseconds:8.2f} us")


async def _serve(kind: str, floats: int, pipe: Connection) -> None:
    if kind == "bare":
        answer = await make_service(floats).model_infer(make_request(floats), Call(0, None))

        async def handle(data: bytes, context: Any) -> bytes:
            return answer

        handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(handle)}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stop = partial(server.stop, None)
    else:
        ours = GrpcServer(make_service(floats))
        port = await ours.start("127.0.0.1:0")
        stop = partial(ours.stop, None)
    pipe.send(port)
    while await asyncio.to_thread(pipe.recv):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(usage.ru_utime + usage.ru_stime)
    await stop()


def _server(kind: str, floats: int, pipe: Connection) -> None:
    asyncio.run(_serve(kind, floats, pipe))


async def _drive(port: int, data: bytes, requests: int, concurrency: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(PATH)

        async def client(count: int) -> None:
            for _ in range(count):
                await infer(data)

        await asyncio.gather(*(client(requests // concurrency) for _ in range(concurrency)))


def over_grpc(kind: str, floats: int, requests: int, concurrency: int) -> None:
    """Prints the server's microseconds of CPU a request and the requests a second."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_server, args=(kind, floats, theirs))
    process.start()
    port, data = ours.recv(), make_request(floats)

    def cpu() -> float:
        ours.send(True)
        seconds: float = ours.recv()
        return seconds

    asyncio.run(_drive(port, data, requests // 10, concurrency))
    before, begin = cpu(), time.monotonic()
    asyncio.run(_drive(port, data, requests, concurrency))
    wall, used = time.monotonic() - begin, cpu() - before
    ours.send(False)
    process.join()
    print(
        f"  {kind:6} concurrency {concurrency:3}: {used / requests * 1e6:7.1f} us CPU a request, "
        f"{requests / wall:7.0f} requests/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--floats", type=int, nargs="+", default=[16, 150_528])
    options = parser.parse_args()
    for floats in options.floats:
        # The big one costs a hundred times more.
        requests = options.requests if floats < 1000 else options.requests // 20
        print(f"FP32[{floats}] in and out, {requests} requests")
        stages(floats, requests)
        for concurrency in options.concurrency:
            for kind in ("bare", "ours"):
                over_grpc(kind, floats, requests, concurrency)


if __name__ == "__main__":
    main()
