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

from clockwork_triton.frontend.allocator import keep_freed_memory
from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.server import Server
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.unary import UnaryCall
from clockwork_triton.inference import Buffer

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
    keep_freed_memory()
    if loop == "uvloop":
        import uvloop

        uvloop.run(_serve(ours, pipe))
    else:
        asyncio.run(_serve(ours, pipe))


class Client:
    """Keeps calls under way on one connection; knows just enough HTTP/2 for that."""

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
        self._received = 0
        self._frame_bytes = 16_384
        self._window = 65_535
        self._stream_window = 0
        # Calls whose message is not all sent: how much is, and how much more the stream's window allows.
        self._unsent: dict[int, tuple[int, int]] = {}
        self._begun: dict[int, float] = {}
        self._latencies: list[float] = []
        settings = [(frames.INITIAL_WINDOW_SIZE, 2**31 - 1), (frames.MAX_FRAME_SIZE, 2**20)]
        self._socket.sendall(frames.PREFACE + frames.settings(settings) + frames.window_update(0, 2**30))
        while not self._stream_window:
            self._socket.sendall(b"".join(self._read()[1]))

    def run(self, requests: int, concurrency: int) -> list[float]:
        """Seconds of each call."""
        self._latencies.clear()
        self._socket.sendall(b"".join(self._start() for _ in range(concurrency)))
        started = concurrency
        while self._begun:
            ended, out = self._read()
            more = min(requests - started, ended)
            started += more
            out += (self._start() for _ in range(more))
            if self._unsent:
                out += (self._go_on(stream_id) for stream_id in list(self._unsent))
            if out:
                self._socket.sendall(b"".join(out))
        return self._latencies

    def close(self) -> None:
        self._socket.close()

    def _start(self) -> bytes:
        stream_id, self._next_id = self._next_id, self._next_id + 2
        self._begun[stream_id] = time.perf_counter()
        block, self._first = self._first or self._block, b""
        self._unsent[stream_id] = (0, self._stream_window)
        return frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block) + self._go_on(stream_id)

    def _go_on(self, stream_id: int) -> bytes:
        """What the windows allow of a message."""
        at, window = self._unsent.pop(stream_id)
        parts = []
        while at < len(self._message):
            piece = self._message[at : at + min(self._frame_bytes, self._window, window)]
            if not piece:
                self._unsent[stream_id] = (at, window)
                break
            at += len(piece)
            window -= len(piece)
            self._window -= len(piece)
            parts.append(frames.frame(frames.DATA, int(at == len(self._message)), stream_id, piece))
        return b"".join(parts)

    def _read(self) -> tuple[int, list[bytes]]:
        """How many calls have ended, and what is to be sent for other reasons."""
        data = self._rest + self._socket.recv(1 << 18)
        now = time.perf_counter()
        ended, at = 0, 0
        out: list[bytes] = []
        while len(data) - at >= 9:
            head, flags, stream_id = HEAD.unpack_from(data, at)
            stop = at + 9 + (head >> 8)
            if stop > len(data):
                break
            kind = head & 0xFF
            if kind == frames.DATA:
                self._received += head >> 8
            elif kind == frames.HEADERS:
                if flags & 1:
                    ended += 1
                    self._latencies.append(now - self._begun.pop(stream_id))
            else:
                out.append(self._control(kind, flags, stream_id, data[at + 9 : stop]))
            at = stop
        self._rest = data[at:]
        if self._received > 2**28:
            out.append(frames.window_update(0, self._received))
            self._received = 0
        return ended, out

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
        if kind == frames.SETTINGS and not flags:
            settings = dict(frames.SETTING.iter_unpack(payload))
            self._frame_bytes = min(settings.get(frames.MAX_FRAME_SIZE, self._frame_bytes), 1 << 20)
            self._stream_window = settings.get(frames.INITIAL_WINDOW_SIZE, self._stream_window or 65_535)
            return frames.frame(frames.SETTINGS, frames.ACK, 0)
        if kind == frames.PING and not flags:
            return frames.ping(payload, ack=True)
        if kind == frames.WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream_id == 0:
                self._window += more
            elif stream_id in self._unsent:
                at, window = self._unsent[stream_id]
                self._unsent[stream_id] = (at, window + more)
        elif kind in (frames.RST_STREAM, frames.GOAWAY):
            raise RuntimeError(f"the server ends it: {payload!r}")
        return b""


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
    # Or the client's page faults would hide what a server's large messages cost.
    keep_freed_memory()
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
                    f"  {name:24}{median.rate:9.0f} r/s   p50 {median.p50_ms:7.3f}   "
                    f"p99 {median.p99_ms:7.3f} ms   {median.cpu_us:7.1f} us CPU a request",
                    flush=True,
                )


if __name__ == "__main__":
    main()
