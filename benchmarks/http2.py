"""What gRPC costs a request: our transport and grpc.aio, each echoing.

    python benchmarks/http2.py --requests 30000 --concurrency 1 8 32 --bytes 128 602112

All servers answer the same bytes in turn, over several rounds; the figures are medians of them. The client is
a loop over one blocking socket that only sends and counts what it prepared beforehand. CPU is the server
process's.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from struct import Struct
from typing import Any, NamedTuple

import hpack

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.compression import Buffer
from clockwork_triton.frontend.http2.server import Server
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.unary import UnaryCall

CALLBACK, COROUTINE = "/benchmark.Echo/Callback", "/benchmark.Echo/Coroutine"
HEAD = Struct(">IBI")


async def serve_ours() -> tuple[int, Callable[[], Awaitable[None]]]:
    def echo(request: Buffer, call: UnaryCall) -> None:
        call.reply_parts((request,))

    def echo_bytes(request: Buffer, call: UnaryCall) -> None:
        if isinstance(request, bytes):
            call.reply(request)
        else:
            echo(request, call)

    async def answer(request: Buffer, call: UnaryCall) -> list[Buffer]:
        return [request]

    service = Service()
    service.callback(CALLBACK.encode(), echo_bytes)
    service.unary(COROUTINE.encode(), answer)
    server = Server(service)
    return await server.listen("127.0.0.1", 0), lambda: server.stop(0)


async def serve_grpc_aio() -> tuple[int, Callable[[], Awaitable[None]]]:
    import grpc
    import grpc.aio

    async def answer(request: bytes, context: Any) -> bytes:
        return request

    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    )
    handlers = {"Coroutine": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("benchmark.Echo", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return port, lambda: server.stop(None)


async def _serve(ours: bool, pipe: Connection) -> None:
    port, stop = await (serve_ours() if ours else serve_grpc_aio())
    pipe.send(port)
    while await asyncio.to_thread(pipe.recv):
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send(usage.ru_utime + usage.ru_stime)
    await stop()


def run_server(ours: bool, loop: str, pipe: Connection) -> None:
    if loop == "uvloop":
        import uvloop

        uvloop.run(_serve(ours, pipe))
    else:
        asyncio.run(_serve(ours, pipe))


class Client:
    """Keeps `concurrency` calls under way on one connection; knows just enough HTTP/2 for that."""

    def __init__(self, port: int, path: str, size: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        encoder = hpack.Encoder()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        fields += [("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "benchmark")]
        self._first = encoder.encode(fields)
        self._block = encoder.encode(fields)
        self._message = b"\0" + size.to_bytes(4, "big") + bytes(size)
        self._next_id = 1
        self._rest = b""
        settings = [(frames.INITIAL_WINDOW_SIZE, 2**31 - 1), (frames.MAX_FRAME_SIZE, 2**20)]
        self._socket.sendall(frames.PREFACE + frames.settings(settings) + frames.window_update(0, 2**30))
        self._received = 0
        self._frame_bytes = 16_384
        self._window = 0
        while not self._window:
            self._read(lambda stream_id: None)

    def run(self, requests: int, concurrency: int) -> list[float]:
        """Seconds of each call."""
        begun: dict[int, float] = {}
        latencies: list[float] = []
        ended: list[int] = []

        def start(count: int) -> None:
            out = []
            for _ in range(count):
                begun[self._next_id] = time.perf_counter()
                out.append(self._request())
            self._socket.sendall(b"".join(out))

        start(concurrency)
        left = requests - concurrency
        while begun:
            ended.clear()
            self._read(ended.append)
            now = time.perf_counter()
            for stream_id in ended:
                latencies.append(now - begun.pop(stream_id))
            more = min(left, len(ended))
            if more:
                left -= more
                start(more)
        return latencies

    def close(self) -> None:
        self._socket.close()

    def _request(self) -> bytes:
        stream_id, self._next_id = self._next_id, self._next_id + 2
        block, self._first = self._first or self._block, b""
        parts = [frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block)]
        for at in range(0, len(self._message), self._frame_bytes):
            piece = self._message[at : at + self._frame_bytes]
            end = at + len(piece) == len(self._message)
            parts.append(frames.frame(frames.DATA, int(end), stream_id, piece))
        return b"".join(parts)

    def _read(self, ended: Callable[[int], None]) -> None:
        data = self._rest + self._socket.recv(1 << 18)
        at = 0
        while len(data) - at >= 9:
            head, flags, stream_id = HEAD.unpack_from(data, at)
            stop = at + 9 + (head >> 8)
            if stop > len(data):
                break
            kind = head & 0xFF
            if kind == frames.DATA:
                self._received += head >> 8
            elif kind == frames.HEADERS and flags & 1:
                ended(stream_id)
            elif kind == frames.SETTINGS and not flags:
                settings = dict(frames.SETTING.iter_unpack(data[at + 9 : stop]))
                self._frame_bytes = min(settings.get(frames.MAX_FRAME_SIZE, 16_384), 1 << 20)
                self._window = settings.get(frames.INITIAL_WINDOW_SIZE, 65_535)
                self._socket.sendall(frames.frame(frames.SETTINGS, frames.ACK, 0))
            elif kind == frames.PING and not flags:
                self._socket.sendall(frames.ping(data[at + 9 : stop], ack=True))
            elif kind in (frames.RST_STREAM, frames.GOAWAY):
                raise RuntimeError(f"the server ends it: {data[at:stop]!r}")
            at = stop
        self._rest = data[at:]
        if self._received > 2**28:
            self._socket.sendall(frames.window_update(0, self._received))
            self._received = 0


class Subject(NamedTuple):
    name: str
    ours: bool
    loop: str
    path: str


class Figures(NamedTuple):
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def measure(subject: Subject, size: int, requests: int, concurrency: int) -> Figures:
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=run_server, args=(subject.ours, subject.loop, theirs))
    process.start()
    client = Client(pipe.recv(), subject.path, size)

    def cpu() -> float:
        pipe.send(True)
        seconds: float = pipe.recv()
        return seconds

    client.run(max(concurrency, requests // 10), concurrency)
    before, begin = cpu(), time.perf_counter()
    latencies = sorted(client.run(requests, concurrency))
    wall, used = time.perf_counter() - begin, cpu() - before
    client.close()
    pipe.send(False)
    process.join()
    return Figures(
        requests / wall,
        latencies[len(latencies) // 2] * 1e3,
        latencies[int(len(latencies) * 0.99)] * 1e3,
        used / requests * 1e6,
    )


def subjects() -> list[Subject]:
    found = [
        Subject("ours, callback", True, "asyncio", CALLBACK),
        Subject("ours, coroutine", True, "asyncio", COROUTINE),
        Subject("grpc.aio", False, "asyncio", COROUTINE),
    ]
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return found
    return [
        *found,
        Subject("ours, callback, uvloop", True, "uvloop", CALLBACK),
        Subject("grpc.aio, uvloop", False, "uvloop", COROUTINE),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--bytes", type=int, nargs="+", default=[128])
    options = parser.parse_args()
    for size in options.bytes:
        requests = options.requests if size < 10_000 else max(200, options.requests // 50)
        for concurrency in options.concurrency:
            found: dict[str, list[Figures]] = {}
            for _ in range(options.rounds):
                for subject in subjects():
                    figures = measure(subject, size, requests, concurrency)
                    found.setdefault(subject.name, []).append(figures)
            print(f"{size} bytes both ways, {concurrency} at a time, {options.rounds} rounds of {requests}:")
            for name, rounds in found.items():
                median = Figures(*(statistics.median(column) for column in zip(*rounds, strict=True)))
                print(
                    f"  {name:24}{median.rate:9.0f} r/s   p50 {median.p50_ms:7.3f}   p99 {median.p99_ms:7.3f} ms"
                    f"   {median.cpu_us:7.1f} us CPU a request",
                    flush=True,
                )


if __name__ == "__main__":
    main()
