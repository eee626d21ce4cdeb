"""Hostile clients against the transport, each kind in turn, while a good client makes its calls.

    python benchmarks/hostile.py --seconds 600

Prints for each kind how many connections it needed, what the good client saw, and the server's memory at the
beginning and at its highest. A good call that fails is an error; too much memory makes the exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import hpack

from benchmarks.http2 import CALLBACK, Client, serve_ours
from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode

CONNECTIONS = 4
GROWTH_MB = 400
"""What four hostile connections may hold: their streams' windows and the replies they do not take."""


def block() -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", CALLBACK), (":authority", "x")]
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode([*fields, ("te", "trailers"), ("content-type", "application/grpc")])


BLOCK = block()
GREETING = frames.PREFACE + frames.settings(())


def headers(stream_id: int, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(frames.HEADERS, flags, stream_id, BLOCK)


def data(stream_id: int, size: int, end: bool = True) -> bytes:
    return frames.frame(frames.DATA, int(end), stream_id, b"\0" + size.to_bytes(4, "big") + bytes(size))


def many(part: Callable[[int], bytes]) -> Iterator[bytes]:
    for first in itertools.count(1, 200):
        yield b"".join(part(stream_id) for stream_id in range(first, first + 200, 2))


def rapid_reset() -> Iterator[bytes]:
    return many(lambda stream_id: headers(stream_id) + frames.rst_stream(stream_id, ErrorCode.CANCEL))


def made_reset() -> Iterator[bytes]:
    return many(
        lambda stream_id: headers(stream_id) + frames.frame(frames.WINDOW_UPDATE, 0, stream_id, bytes(4))
    )


def continuations() -> Iterator[bytes]:
    yield headers(1, 0)
    while True:
        yield frames.frame(frames.CONTINUATION, 0, 1, b"\x00\x01a\x01b") * 100


def settings() -> Iterator[bytes]:
    while True:
        yield frames.settings([(frames.HEADER_TABLE_SIZE, 0), (frames.INITIAL_WINDOW_SIZE, 5)]) * 100


def pings() -> Iterator[bytes]:
    while True:
        yield frames.ping(b"01234567") * 100


def empty_data() -> Iterator[bytes]:
    yield headers(1)
    while True:
        yield frames.frame(frames.DATA, 0, 1) * 100


def zero_window() -> Iterator[bytes]:
    """Asks for replies and lets none of them out, but for a byte now and then."""
    yield frames.settings([(frames.INITIAL_WINDOW_SIZE, 0)])
    for stream_id in itertools.count(1, 2):
        yield headers(stream_id) + data(stream_id, 16_000)
        yield frames.window_update(stream_id, 1)


def unread_replies() -> Iterator[bytes]:
    """Takes all windows can give and reads nothing."""
    yield frames.settings([(frames.INITIAL_WINDOW_SIZE, frames.MAX_WINDOW)])
    yield frames.window_update(0, 2**30)
    for stream_id in itertools.count(1, 2):
        yield headers(stream_id) + data(stream_id, 16_000)


def unfinished_uploads() -> Iterator[bytes]:
    """Announces 2 GB on every stream and sends little of it."""
    for stream_id in itertools.count(1, 2):
        yield headers(stream_id) + frames.frame(
            frames.DATA, 0, stream_id, b"\0\x7f\xff\xff\xff" + bytes(16_000)
        )


def garbage() -> Iterator[bytes]:
    while True:
        yield os.urandom(1000)


def silence() -> Iterator[bytes]:
    yield b""
    while True:
        time.sleep(0.05)
        yield b""


def byte_by_byte() -> Iterator[bytes]:
    for stream_id in itertools.count(1, 2):
        for byte in headers(stream_id) + data(stream_id, 100):
            yield bytes((byte,))


ATTACKS: dict[str, tuple[Callable[[], Iterator[bytes]], bool]] = {
    "rapid reset": (rapid_reset, True),
    "made reset": (made_reset, True),
    "CONTINUATION flood": (continuations, True),
    "SETTINGS flood": (settings, True),
    "PING flood": (pings, True),
    "empty DATA": (empty_data, True),
    "zero windows": (zero_window, True),
    "unread replies": (unread_replies, False),
    "unfinished uploads": (unfinished_uploads, True),
    "garbage": (garbage, True),
    "silence": (silence, True),
    "byte by byte": (byte_by_byte, True),
}
"""And whether the client reads what it is sent."""


class Attacker(threading.Thread):
    """Attacks, is thrown out, and comes again until `end`."""

    def __init__(self, port: int, attack: Callable[[], Iterator[bytes]], reads: bool, end: float) -> None:
        super().__init__()
        self._port, self._attack, self._reads, self._end = port, attack, reads, end
        self.connections = 0

    def run(self) -> None:
        while time.monotonic() < self._end:
            self.connections += 1
            try:
                with socket.create_connection(("127.0.0.1", self._port), 5) as peer:
                    peer.settimeout(0.2)
                    self._fight(peer)
            except OSError:
                # Thrown out. Opening connections is not what is measured here.
                time.sleep(0.01)

    def _fight(self, peer: socket.socket) -> None:
        peer.sendall(GREETING)
        for part in self._attack():
            if time.monotonic() > self._end:
                return
            try:
                peer.sendall(part)
            except TimeoutError:
                if self._reads:
                    raise
                # The server waits for us to read; we wait for it to lose patience.
                continue
            if self._reads:
                self._drain(peer)

    def _drain(self, peer: socket.socket) -> None:
        peer.setblocking(False)
        try:
            while peer.recv(1 << 16):
                pass
            raise ConnectionResetError
        except BlockingIOError:
            pass
        finally:
            peer.settimeout(0.2)


def attack(name: str, port: int, seconds: float, pipe: Connection) -> None:
    """In a process of its own, so that the good client is not kept waiting by it."""
    end = time.monotonic() + seconds
    kind, reads = ATTACKS[name]
    attackers = [Attacker(port, kind, reads, end) for _ in range(CONNECTIONS)]
    for attacker in attackers:
        attacker.start()
    for attacker in attackers:
        attacker.join()
    pipe.send(sum(attacker.connections for attacker in attackers))


async def _serve(pipe: Connection) -> None:
    port, stop = await serve_ours()
    pipe.send(port)
    await asyncio.to_thread(pipe.recv)
    await stop()


def run_server(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def suffer(name: str, port: int, pid: int, seconds: float) -> bool:
    """Whether the good client was served and memory stayed in bounds."""
    before = highest = resident_mb(pid)
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    attacker = context.Process(target=attack, args=(name, port, seconds, theirs))
    attacker.start()
    good = Client(port, CALLBACK, 128)
    latencies: list[float] = []
    while not pipe.poll():
        latencies += good.run(10, 1)
        highest = max(highest, resident_mb(pid))
        time.sleep(0.005)
    good.close()
    connections: int = pipe.recv()
    attacker.join()
    latencies.sort()
    fine = highest - before < GROWTH_MB
    print(
        f"{name:20} {connections:6} connections; good client: "
        f"{len(latencies):6} calls, p50 {latencies[len(latencies) // 2] * 1e3:6.2f} ms, "
        f"p99 {latencies[int(len(latencies) * 0.99)] * 1e3:7.2f} ms; "
        f"memory {before:5.0f} to {highest:5.0f} MB{'' if fine else '  TOO MUCH'}",
        flush=True,
    )
    return fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each kind")
    parser.add_argument("--only", choices=ATTACKS, help="one kind")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=run_server, args=(theirs,))
    server.start()
    port = pipe.recv()
    assert server.pid is not None
    names = [options.only] if options.only else list(ATTACKS)
    fine = [suffer(name, port, server.pid, options.seconds) for name in names]
    pipe.send(False)
    server.join()
    return 0 if all(fine) else 1


if __name__ == "__main__":
    raise SystemExit(main())
