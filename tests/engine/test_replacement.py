"""How workers come and go, over processes that are not there: they say Hello and end when a test says so."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.engine import worker_process
from clockwork_triton.engine.fleet import Fleet
from clockwork_triton.engine.options import EngineOptions, WorkerOptions
from clockwork_triton.engine.worker_process import WorkerProcess, ended
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, Hello
from tests.engine.test_engine import run

WORKER = WorkerOptions("emulated", 1 << 20, 1 << 16, slots=1, slot_bytes=1 << 16)
TURNS = 100
PATIENCE_S = 30.0
CHILD = (sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)")


def _no_pidfd(pid: int) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


class FakeProcess:
    """At the end of the channel that a worker would inherit. It is there until `end`, killed or not."""

    def __init__(self, fd: int, pid: int) -> None:
        self.pid = pid
        self.killed = False
        self._end = os.eventfd(0)
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
        os.eventfd_write(self._end, 1)
        os.close(self._end)

    def pidfd(self) -> int:
        return os.dup(self._end)

    def poll(self) -> int | None:
        return -9 if self._ended.is_set() else None

    def wait(self) -> int:
        assert self._ended.wait(PATIENCE_S)
        return -9

    def send_signal(self, number: int) -> None:
        self.killed = True


class Machine:
    """Starts fake processes. `prompt`: killed ones end. `pidfd`: the system tells of their ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, prompt: bool = False, pidfd: bool = True) -> None:
        self.processes: list[FakeProcess] = []
        self._started = asyncio.Event()
        self._prompt = prompt
        monkeypatch.setattr(subprocess, "Popen", self._start)
        monkeypatch.setattr(os, "pidfd_open", self._pidfd if pidfd else _no_pidfd)
        monkeypatch.setattr(worker_process, "KILL_LIMIT_S", PATIENCE_S)

    def _start(self, command: Sequence[str], pass_fds: Sequence[int], **_: Any) -> FakeProcess:
        process = FakeProcess(pass_fds[0], len(self.processes) + 1)
        if self._prompt:
            process.send_signal = lambda number: process.end()  # type: ignore[method-assign]
        self.processes.append(process)
        self._started.set()
        return process

    def _pidfd(self, pid: int) -> int:
        return self.processes[pid - 1].pidfd()

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


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_process_that_takes_long_to_end_keeps_nobody_and_has_no_successor_before(
    monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    async def body() -> None:
        machine, lives = Machine(monkeypatch, pidfd=pidfd), Lives()
        starting = asyncio.create_task(lives.fleet.start())
        first = await machine.started(1)
        first.greet()
        await starting
        first.hang_up()
        assert await lives.lost.get() == 0
        assert first.killed
        assert len(lives.fleet) == 0
        await _turns()
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


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_server_that_stops_waits_off_the_loop_for_workers_that_must_be_killed(
    monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    async def body() -> None:
        machine, lives = Machine(monkeypatch, pidfd=pidfd), Lives()
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


def test_a_worker_that_is_lost_while_the_server_stops_has_no_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        before = asyncio.all_tasks()
        machine, lives = Machine(monkeypatch), Lives(2)
        starting = asyncio.create_task(lives.fleet.start())
        await machine.started(2)
        first, second = machine.processes
        first.greet()
        second.greet()
        await starting
        first.hang_up()
        first.end()
        successor = await machine.started(3)
        second.hang_up()
        stopping = asyncio.create_task(lives.fleet.stop())
        assert [await lives.lost.get() for _ in range(2)] == [0, 1]
        await _turns()
        assert successor.killed
        successor.end()
        await _turns()
        assert not stopping.done()
        second.end()
        await stopping
        await _turns()
        assert len(machine.processes) == 3
        assert not lives.fleet._restarts
        assert asyncio.all_tasks() == before

    run(body)


def test_a_server_that_stops_waits_for_the_successor_that_has_just_been_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        machine, lives = Machine(monkeypatch), Lives()
        starting = asyncio.create_task(lives.fleet.start())
        first = await machine.started(1)
        first.greet()
        await starting
        first.hang_up()
        first.end()
        successor = await machine.started(2)
        successor.hang_up()
        await _turns()
        assert successor.killed
        stopping = asyncio.create_task(lives.fleet.stop())
        await _turns()
        assert not stopping.done()
        successor.end()
        await stopping

    run(body)


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_worker_that_the_system_does_not_let_end_keeps_no_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, pidfd: bool
) -> None:
    machine = Machine(monkeypatch, pidfd=pidfd)
    monkeypatch.setattr(worker_process, "KILL_LIMIT_S", 0.0)

    async def body() -> None:
        lives = Lives()
        starting = asyncio.create_task(lives.fleet.start())
        process = await machine.started(1)
        process.greet()
        await starting
        worker = lives.fleet[0]
        await worker.stop(0.0)
        assert process.killed
        assert worker.region._map.closed

    run(body)
    assert "worker 0 (pid 1) has not ended 0 s after it was killed" in caplog.text
    waiting = [thread for thread in threading.enumerate() if thread.name == "end of 1"]
    assert len(waiting) == (0 if pidfd else 1)
    # The loop is closed.
    machine.processes[0].end()
    for thread in waiting:
        thread.join()


def test_a_process_that_cannot_be_started_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = []
    socketpair = socket.socketpair

    def noted(*args: int) -> tuple[socket.socket, socket.socket]:
        pairs.append(socketpair(*args))
        return pairs[-1]

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async def body() -> None:
        worker = WorkerProcess(0, WORKER, lambda *_: None, lambda *_: None)
        monkeypatch.setattr(socket, "socketpair", noted)
        monkeypatch.setattr(subprocess, "Popen", fail)
        with pytest.raises(OSError, match="memory"):
            await worker.start(PATIENCE_S)
        await worker.stop()
        assert [end.fileno() for end in pairs[0]] == [-1, -1]

    run(body)


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_child_that_ends_tells_its_status(monkeypatch: pytest.MonkeyPatch, pidfd: bool) -> None:
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", _no_pidfd)

    async def body() -> None:
        with subprocess.Popen(CHILD, stdin=subprocess.PIPE) as child:
            waiting = [asyncio.create_task(ended(child)) for _ in range(2)]
            await _turns()
            assert not any(task.done() for task in waiting)
            assert child.stdin is not None
            child.stdin.close()
            assert await asyncio.gather(*waiting) == [3, 3]
            assert await ended(child) == 3

    run(body)


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_child_that_somebody_else_reaps_has_ended_too(monkeypatch: pytest.MonkeyPatch, pidfd: bool) -> None:
    if not pidfd:
        monkeypatch.setattr(os, "pidfd_open", _no_pidfd)

    async def body() -> None:
        with subprocess.Popen(CHILD, stdin=subprocess.PIPE) as child:
            waiting = asyncio.create_task(ended(child))
            await _turns()
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
            assert await waiting == -signal.SIGKILL
        # Not through Popen, which cannot know the status then.
        with subprocess.Popen(CHILD, stdin=subprocess.PIPE) as child:
            child.send_signal(signal.SIGKILL)
            os.waitpid(child.pid, 0)
            await ended(child)

    run(body)
