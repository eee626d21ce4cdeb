"""How workers come and go, over processes that are not there: they say Hello and end when a test says so."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.engine.fleet import Fleet
from clockwork_triton.engine.options import EngineOptions, WorkerOptions
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, Hello
from tests.engine.test_engine import run

WORKER = WorkerOptions("emulated", 1 << 20, 1 << 16, slots=1, slot_bytes=1 << 16)
TURNS = 100
PATIENCE_S = 30.0


class FakeProcess:
    """At the end of the channel that a worker would inherit. It is there until `end`, killed or not."""

    def __init__(self, fd: int) -> None:
        self.pid = 1
        self.killed = False
        self._channel = BlockingChannel(socket.socket(fileno=os.dup(fd)))
        self._ended = threading.Event()

    def greet(self) -> None:
        self._channel.send(Envelope(hello=Hello(device_kind="emulated", pages=1, slots=1)))

    def hang_up(self) -> None:
        """As a process does whose end is not over yet."""
        self._channel.end()
        self._channel.close()

    def end(self) -> None:
        self._channel.close()
        self._ended.set()

    def poll(self) -> int | None:
        return -9 if self._ended.is_set() else None

    def wait(self) -> int:
        assert self._ended.wait(PATIENCE_S)
        return -9

    def send_signal(self, number: int) -> None:
        self.killed = True


class Machine:
    """Starts fake processes. `prompt`: killed ones end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, prompt: bool = False) -> None:
        self.processes: list[FakeProcess] = []
        self._started = asyncio.Event()
        self._prompt = prompt
        monkeypatch.setattr(subprocess, "Popen", self._start)

    def _start(self, command: Sequence[str], pass_fds: Sequence[int], **_: Any) -> FakeProcess:
        process = FakeProcess(pass_fds[0])
        if self._prompt:
            process.send_signal = lambda number: process.end()  # type: ignore[method-assign]
        self.processes.append(process)
        self._started.set()
        return process

    async def started(self, count: int) -> FakeProcess:
        """The last of so many processes, once they are there."""
        while len(self.processes) < count:
            self._started.clear()
            await self._started.wait()
        return self.processes[count - 1]


class Lives:
    """What a fleet tells of its workers."""

    def __init__(self, workers: int = 1) -> None:
        self.joined: asyncio.Queue[WorkerSpec] = asyncio.Queue()
        self.lost: asyncio.Queue[int] = asyncio.Queue()
        options = EngineOptions((WORKER,) * workers, restart_delay_s=0.0)
        self.fleet = Fleet(options, self.joined.put_nowait, self.lost.put_nowait, lambda *_: None)


def test_a_process_that_takes_long_to_end_keeps_nobody_and_has_no_successor_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        machine, lives = Machine(monkeypatch), Lives()
        starting = asyncio.create_task(lives.fleet.start())
        first = await machine.started(1)
        first.greet()
        await starting
        first.hang_up()
        assert await lives.lost.get() == 0
        assert first.killed
        assert len(lives.fleet) == 0
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert len(machine.processes) == 1
        first.end()
        second = await machine.started(2)
        second.greet()
        await lives.joined.get()
        await lives.joined.get()
        assert lives.fleet.restarts[0] == 1
        second.end()
        await lives.fleet.stop()

    run(body)


def test_a_server_that_stops_waits_off_the_loop_for_workers_that_must_be_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        machine, lives = Machine(monkeypatch), Lives()
        starting = asyncio.create_task(lives.fleet.start())
        process = await machine.started(1)
        process.greet()
        await starting
        stopping = asyncio.create_task(lives.fleet[0].stop(0.0))
        while not process.killed:
            await asyncio.sleep(0)
        assert not stopping.done()
        process.end()
        await stopping

    run(body)


def test_workers_that_are_still_coming_up_end_with_the_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        before = asyncio.all_tasks()
        machine, lives = Machine(monkeypatch, prompt=True), Lives(3)
        starting = asyncio.create_task(lives.fleet.start())
        await machine.started(3)
        up, broken, slow = machine.processes
        up.greet()
        await lives.joined.get()
        broken.hang_up()
        with pytest.raises(RuntimeError, match="worker 1 ended at its start"):
            await starting
        assert [process.poll() for process in (broken, slow)] == [-9, -9]
        assert len(lives.fleet) == 1
        assert asyncio.all_tasks() == before
        up.end()
        await lives.fleet.stop()

    run(body)
