"""One worker process as the engine sees it: its start, its channel, its I/O slots, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from clockwork_triton.controller.actions import Action, ActionResult
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.engine.io_region import IoRegion
from clockwork_triton.engine.options import WorkerOptions
from clockwork_triton.event_loop import on_daemon_thread, turn_end
from clockwork_triton.transport import messages
from clockwork_triton.transport.channel import Channel
from clockwork_triton.transport.clockwork_pb2 import Envelope, Hello
from clockwork_triton.transport.messages import Part

log = logging.getLogger(__name__)

KILL_LIMIT_S = 10.0
"""That a stopping server gives a killed worker to end: taking a GPU's context down takes seconds."""


class WorkerProcess:
    """A started worker. `on_result`, with when it arrived, and `on_lost` are called from the event loop.

    A worker that ends, for whatever reason, is lost once and for all; the engine starts another when it is
    `gone`.
    """

    def __init__(
        self,
        worker_id: int,
        options: WorkerOptions,
        on_result: Callable[[WorkerProcess, ActionResult, int], None],
        on_lost: Callable[[WorkerProcess, str], None],
    ) -> None:
        self.worker_id = worker_id
        self.options = options
        self.region = IoRegion(options.slots, options.slot_bytes)
        self.hello = Hello()
        self._on_result = on_result
        self._on_lost = on_lost
        loop = asyncio.get_running_loop()
        self._greeted: asyncio.Future[WorkerSpec] = loop.create_future()
        self._registrations: dict[int, asyncio.Future[str | None]] = {}
        self._channel = Channel(self._received, self._channel_lost, turn_end(loop))
        self._process: subprocess.Popen[bytes] | None = None
        self.lost = False
        """Set once and for all when it has ended, or was told to."""

    async def start(self, timeout_s: float) -> WorkerSpec:
        """Starts the process and waits for its Hello. RuntimeError with the reason if none comes."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    self._command(theirs.fileno()),
                    pass_fds=(theirs.fileno(), self.region.fd, *self.options.arena_fds),
                    stdin=subprocess.DEVNULL,
                )
            await asyncio.get_running_loop().create_unix_connection(lambda: self._channel, sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            return await asyncio.wait_for(self._greeted, timeout_s)
        except TimeoutError:
            self.kill()
            raise RuntimeError(f"worker {self.worker_id} ({self.options.device}) did not start") from None

    def _command(self, channel_fd: int) -> list[str]:
        options = self.options
        command = [sys.executable, "-m", "clockwork_triton.worker", "--worker-id", str(self.worker_id)]
        command += ["--device", options.device, "--memory", str(options.memory_bytes)]
        command += ["--workspace", str(options.workspace_bytes), "--slots", str(options.slots)]
        command += ["--slot-bytes", str(options.slot_bytes)]
        command += ["--channel-fd", str(channel_fd), "--io-fd", str(self.region.fd)]
        if options.busy_poll_us:
            command += ["--busy-poll-us", str(options.busy_poll_us)]
        if options.threads > 1:
            command += ["--threads", str(options.threads)]
        if options.arena_fds:
            command += ["--arena-fds", ",".join(map(str, options.arena_fds))]
        if options.cores:
            command += ["--cores", ",".join(map(str, options.cores))]
        return command

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def register(self, model_id: int, artifact: Path) -> str | None:
        """Makes the model known to the worker; the answer is empty, or why it cannot run there.

        None: the worker ended before it said.
        """
        if self.lost:
            return None
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._registrations[model_id] = future
        envelope = Envelope()
        envelope.register_model.model_id = model_id
        envelope.register_model.artifact = str(artifact)
        self._channel.send(envelope)
        return await future

    def unregister(self, model_id: int) -> None:
        envelope = Envelope()
        envelope.unregister_model.model_id = model_id
        self._channel.send(envelope)

    def send(self, action: Action, slot: int, parts: Sequence[Part] = ()) -> None:
        self._channel.send(messages.action_envelope(action, slot, parts))

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Asks the worker to end, and ends it if it does not. May be called again, where it was cancelled."""
        self.lost = True
        envelope = Envelope()
        envelope.shutdown.SetInParent()
        with contextlib.suppress(Exception):
            self._channel.send(envelope)
        try:
            if self._process is not None:
                await self._end(self._process, timeout_s)
        finally:
            self._channel.close()
            self.region.close()

    async def _end(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        end = asyncio.ensure_future(ended(process))
        try:
            await asyncio.wait((end,), timeout=timeout_s)
            self.kill()
            await asyncio.wait((end,), timeout=KILL_LIMIT_S)
            if end.done():
                await end
                return
            log.error(
                "worker %d (pid %d) has not ended %g s after it was killed: it is stuck in the system, most "
                "likely in a driver that hangs, and holds its device's memory until it ends",
                self.worker_id,
                process.pid,
                KILL_LIMIT_S,
            )
        finally:
            end.cancel()

    async def gone(self) -> None:
        """Returns when the process of a lost worker has ended, and its memory, the device's too, is free.

        With a GPU that takes seconds: the system unpins what was pinned, the driver takes the context down.
        """
        if self._process is not None:
            status = await ended(self._process)
            log.info("worker %d (pid %d) ended with status %d", self.worker_id, self._process.pid, status)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)

    def _received(self, envelope: Envelope, received_ns: int) -> None:
        if self.lost:
            return
        kind = envelope.WhichOneof("body")
        if kind == "result":
            result = messages.action_result(envelope.result, self.worker_id)
            try:
                self._on_result(self, result, received_ns)
            except Exception:  # a fault of ours must not read as the loss of the worker
                log.exception("A result of worker %d was not dealt with", self.worker_id)
        elif kind == "model_registered":
            future = self._registrations.pop(envelope.model_registered.model_id, None)
            if future is not None and not future.done():
                future.set_result(envelope.model_registered.error)
        elif kind == "hello":
            self.hello = envelope.hello
            if not self._greeted.done():
                self._greeted.set_result(messages.worker_spec(envelope.hello))
        else:
            log.warning("worker %d sent an unexpected %s message", self.worker_id, kind)

    def _channel_lost(self, reason: str) -> None:
        for future in self._registrations.values():
            if not future.done():
                future.set_result(None)
        self._registrations.clear()
        if not self._greeted.done():
            self._greeted.set_exception(RuntimeError(f"worker {self.worker_id} ended at its start: {reason}"))
        if self.lost:
            return
        self.lost = True
        self.kill()
        self.region.close()
        self._on_lost(self, reason)


async def ended(process: subprocess.Popen[bytes]) -> int:
    """The status of a process, when it has ended; others may poll it meanwhile. One that never ends keeps
    nobody else, the server's end neither."""
    status = process.poll()
    if status is None:
        await _end_seen(process)
        status = process.poll()
    if status is None:
        status = await on_daemon_thread(process.wait, f"end of {process.pid}")
    return status


async def _end_seen(process: subprocess.Popen[bytes]) -> None:
    """Returns when the process has ended, or at once where the system cannot tell."""
    try:
        # Readable when the process has ended, whoever reaps it.
        fd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # an old system, one that forbids it, too many files
        return
    loop = asyncio.get_running_loop()
    try:
        # Had it been reaped before, the number might be another's by now.
        if process.poll() is not None:
            return
        readable = asyncio.Event()
        loop.add_reader(fd, readable.set)
        await readable.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
