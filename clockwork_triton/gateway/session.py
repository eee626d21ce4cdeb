"""One front end's process as the controller's process sees it: its start, its calls, its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from clockwork_triton.errors import ServerError
from clockwork_triton.event_loop import turn_end
from clockwork_triton.gateway.dialogue import Dialogue, Handler
from clockwork_triton.inference import Block, Done, InferenceAnswer, InferenceCall
from clockwork_triton.transport.channel import Channel
from clockwork_triton.transport.clockwork_pb2 import Call, Envelope

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 2**31 - 1
"""Files of models that clients bring go over the channel too."""


class CallEngine(Protocol):
    """What a session needs of the engine; see InferenceEngine, and Engine.give_up."""

    def submit(self, call: InferenceCall, done: Done) -> int: ...

    def give_up(self, number: int) -> None: ...


class Session:
    """`ended(session)` is called once, when the process is gone and nobody touches its arena any more."""

    def __init__(
        self,
        number: int,
        engine: CallEngine,
        handlers: Mapping[str, Handler],
        ended: Callable[[Session], None],
    ) -> None:
        self.number = number
        self._engine = engine
        self._ended = ended
        self._at_turn_end = turn_end(asyncio.get_running_loop())
        self._channel = Channel(
            self._received, self._lost, self._at_turn_end, max_frame_bytes=MAX_FRAME_BYTES
        )
        self.dialogue = Dialogue(self._channel.send, handlers)
        # By the front end's numbers of its calls, the engine's.
        self._calls: dict[int, int] = {}
        self._outgoing = Envelope()
        self._leaves = False
        self._process: subprocess.Popen[bytes] | None = None
        self.alive = True

    async def start(self, arena_fd: int) -> None:
        """OSError if there is no room for one more process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            command = [sys.executable, "-m", "clockwork_triton.front_end"]
            command += ["--number", str(self.number), "--channel-fd", str(theirs.fileno())]
            command += ["--arena-fd", str(arena_fd)]
            self._process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(), arena_fd), stdin=subprocess.DEVNULL
            )
        await asyncio.get_running_loop().create_unix_connection(lambda: self._channel, sock=ours)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def stop(self, patience_s: float = 5.0) -> None:
        """Ends the process, which has been asked to drain before."""
        self._lost("the server stops")
        process = self._process
        if process is not None:
            try:
                await asyncio.wait_for(asyncio.to_thread(process.wait), patience_s)
            except TimeoutError:
                process.kill()
                process.wait()

    def _received(self, envelope: Envelope, _received_ns: int) -> None:
        kind = envelope.WhichOneof("body")
        if kind == "calls":
            for call in envelope.calls.calls:
                self._begin(call)
            for number in envelope.calls.cancelled:
                if number in self._calls:
                    self._engine.give_up(self._calls[number])
        elif kind == "note":
            self.dialogue.received(envelope.note)
        else:
            log.warning("front end %d sent an unexpected %s message", self.number, kind)

    def _begin(self, message: Call) -> None:
        number = message.number
        call = InferenceCall(
            message.model_id,
            message.rows,
            (),
            message.arrival_ns,
            message.deadline_ns or None,
            message.priority,
            block=Block(self.number, message.place),
        )
        self._calls[number] = self._engine.submit(call, partial(self._answered, number))

    def _answered(self, number: int, outcome: InferenceAnswer | ServerError) -> None:
        del self._calls[number]
        if not self.alive:
            self._check_ended()
            return
        answer = self._outgoing.answers.answers.add()
        answer.number = number
        if isinstance(outcome, ServerError):
            answer.code, answer.message = outcome.code.value, outcome.message
        else:
            answer.action_id = outcome.action_id
            answer.executed_rows = outcome.executed_rows
            answer.leads = outcome.leads
            answer.queue_ns = outcome.queue_ns
            answer.input_ns = outcome.input_ns
            answer.infer_ns = outcome.infer_ns
            answer.output_ns = outcome.output_ns
            answer.moments.extend(outcome.moments)
        if not self._leaves:
            self._leaves = True
            self._at_turn_end(self._flush)

    def _flush(self) -> None:
        envelope, self._outgoing = self._outgoing, Envelope()
        self._leaves = False
        self._channel.send(envelope)

    def _lost(self, reason: str) -> None:
        if not self.alive:
            return
        self.alive = False
        self.dialogue.lose()
        self._channel.close()
        process = self._process
        if process is not None and process.poll() is None and reason != "the server stops":
            process.send_signal(signal.SIGKILL)
            process.wait()
        for number in list(self._calls.values()):
            self._engine.give_up(number)
        self._check_ended()

    def _check_ended(self) -> None:
        if not self._calls:
            asyncio.get_running_loop().call_soon(self._ended, self)
