"""Hostile clients against the transport, each kind in turn, while a good client makes its calls.

    python -m benchmarks.hostile --seconds 600

Prints for each kind how many connections it needed, what the good client saw, and the server's memory at the
beginning and at its highest. A good call that fails is an error; too much memory makes the exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.attacks import ATTACKS, GREETING
from benchmarks.http2 import CALLBACK, Client, serve_ours
from benchmarks.serving import machine
from clockwork_triton import event_loop

CONNECTIONS = 4
GROWTH_MB = 400
"""What four hostile connections may hold: their streams' windows and the replies they do not take."""
LATER_GROWTH_MB = 20
"""How much more the second half of an attack may hold than the first."""
COLUMNS = (
    *("attack", "connections", "good calls", "p50 ms", "p99 ms", "max ms"),
    *("memory before MB", "first half", "second half", "fine"),
)
INTRODUCTION = """Written by `python -m benchmarks.hostile`. Four connections of one kind do to the HTTP/2
transport what no client should; when they are thrown out they come again. A good client makes its calls
meanwhile, ten in a row: every one of them was answered, or this page would not have been written. Fine: the
server's memory stayed in bounds, and was in the second half of the attack what it was in the first.
"""


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
    event_loop.run(_serve(pipe))


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class Suffered:
    """What one kind of attack did. `calls` of the good client, all answered; memory of the server before, at
    its highest in the first half, and at its highest in the second."""

    name: str
    connections: int
    calls: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    memory_mb: tuple[float, float, float]

    @property
    def fine(self) -> bool:
        before, early, late = self.memory_mb
        return max(early, late) - before < GROWTH_MB and late - early < LATER_GROWTH_MB

    def cells(self) -> list[str]:
        times = (f"{value:,.2f}" for value in (self.p50_ms, self.p99_ms, self.most_ms))
        memory = (f"{value:,.0f}" for value in self.memory_mb)
        return [
            self.name,
            f"{self.connections:,}",
            f"{self.calls:,}",
            *times,
            *memory,
            "yes" if self.fine else "NO",
        ]


def suffer(name: str, port: int, pid: int, seconds: float) -> Suffered:
    """Attacks a server, and meanwhile makes good calls and watches its memory."""
    before, highest = resident_mb(pid), [0.0, 0.0]
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    attacker = context.Process(target=attack, args=(name, port, seconds, theirs))
    attacker.start()
    good = Client(port, CALLBACK, 128)
    latencies: list[float] = []
    begin = time.monotonic()
    while not pipe.poll():
        latencies += good.run(10, 1)
        half = int(time.monotonic() - begin > seconds / 2)
        highest[half] = max(highest[half], resident_mb(pid))
        time.sleep(0.005)
    good.close()
    connections: int = pipe.recv()
    attacker.join()
    latencies.sort()
    times = (latencies[int((len(latencies) - 1) * share)] * 1e3 for share in (0.5, 0.99, 1.0))
    return Suffered(name, connections, len(latencies), *times, (before, *highest))


def ordeal(names: Sequence[str], seconds: float) -> list[Suffered]:
    """One server that suffers all of these, one after another."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    server = context.Process(target=run_server, args=(theirs,))
    server.start()
    port = pipe.recv()
    assert server.pid is not None
    found = []
    for name in names:
        found.append(suffer(name, port, server.pid, seconds))
        print(dict(zip(COLUMNS, found[-1].cells(), strict=True)), flush=True)
    pipe.send(False)
    server.join()
    return found


def page(found: Sequence[Suffered], seconds: float, together: bool) -> str:
    lines = ["# Hostile clients", "", INTRODUCTION]
    how = (
        "at once, a server for each, on the machine's cores"
        if together
        else "one after another, on one server"
    )
    lines += [f"{seconds:g} s of each kind, {how}. {machine.description()}", ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(each.cells()) + " |" for each in found]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of each kind")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, help="these kinds")
    parser.add_argument("--together", action="store_true", help="all kinds at once, each on its own server")
    parser.add_argument("--page", type=Path, help="write what happened to this file")
    options = parser.parse_args()
    names = options.only or list(ATTACKS)
    groups = [[name] for name in names] if options.together else [names]
    with ThreadPoolExecutor(len(groups)) as threads:
        found = [
            each for group in threads.map(lambda g: ordeal(g, options.seconds), groups) for each in group
        ]
    if options.page:
        options.page.write_text(page(found, options.seconds, options.together))
    return 0 if all(each.fine for each in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
