"""A worker process and the engine's end of its channel, for tests."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult
from clockwork_triton.transport import messages
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, Hello, RegisterModel, Shutdown, UnregisterModel
from tests.worker.tiny import PAGE, Floats

SLOT_BYTES = 1 << 16
SLOTS = 3
PAGES = 16
FAR_NS = 10**15
"""No test waits for it: a window that ends with it is open."""
TIMEOUT_S = 30.0


class Child:
    """A started worker that has said Hello. Everything it is asked waits for the answer."""

    def __init__(self, device: str, *options: str, pages: int = PAGES, workspace_bytes: int = PAGE) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT_S)
        self.socket = ours
        self._io = os.memfd_create("test-io")
        os.ftruncate(self._io, SLOTS * SLOT_BYTES)
        self.slots = mmap.mmap(self._io, SLOTS * SLOT_BYTES)
        command = [sys.executable, "-m", "clockwork_triton.worker", "--worker-id", "7", "--device", device]
        command += ["--memory", str(pages * PAGE), "--page-bytes", str(PAGE)]
        command += ["--workspace", str(workspace_bytes), "--slots", str(SLOTS)]
        command += ["--slot-bytes", str(SLOT_BYTES)]
        command += ["--channel-fd", str(theirs.fileno()), "--io-fd", str(self._io), *options]
        with theirs:
            self.process = subprocess.Popen(
                command, pass_fds=(theirs.fileno(), self._io), stderr=subprocess.PIPE, text=True
            )
        self.channel = BlockingChannel(ours)
        ours.settimeout(TIMEOUT_S)
        self._known: set[int] = set()
        self._action_ids = iter(range(1, 1 << 30))
        try:
            self.hello: Hello = self._receive("hello").hello
        except BaseException:
            self.close()
            raise

    def _receive(self, kind: str) -> Envelope:
        arrival = self.channel.receive()
        assert arrival is not None, self.end()
        assert arrival[0].WhichOneof("body") == kind, arrival[0]
        return arrival[0]

    def register(self, model_id: int, artifact: Path) -> str:
        """The error; empty for none."""
        request = RegisterModel(model_id=model_id, artifact=str(artifact))
        self.channel.send(Envelope(register_model=request))
        answer = self._receive("model_registered").model_registered
        assert answer.model_id == model_id
        self._known.add(model_id)
        return answer.error

    def unregister(self, model_id: int) -> None:
        self._known.discard(model_id)
        self.channel.send(Envelope(unregister_model=UnregisterModel(model_id=model_id)))

    def forget_models(self) -> None:
        """Takes effect before the next registration."""
        for model_id in tuple(self._known):
            self.unregister(model_id)

    def order(
        self,
        kind: ActionKind,
        model_id: int,
        *,
        earliest_ns: int = 0,
        latest_ns: int = FAR_NS,
        batch_size: int = 0,
        slot: int = 0,
        pages: tuple[int, ...] = (),
    ) -> int:
        """Sends an action and returns its id."""
        action_id = next(self._action_ids)
        action = Action(action_id, kind, 7, model_id, earliest_ns, latest_ns, 0, batch_size, (), pages)
        self.channel.send(messages.action_envelope(action, slot))
        return action_id

    def result(self) -> ActionResult:
        return messages.action_result(self._receive("result").result, 7)

    def load(self, model_id: int, *pages: int) -> ActionResult:
        self.order(ActionKind.LOAD, model_id, pages=pages)
        return self.result()

    def unload(self, model_id: int) -> ActionResult:
        self.order(ActionKind.UNLOAD, model_id)
        return self.result()

    def infer(self, model_id: int, batch_size: int, slot: int = 0, **window: int) -> ActionResult:
        self.order(ActionKind.INFER, model_id, batch_size=batch_size, slot=slot, **window)
        return self.result()

    def write(self, manifest: Manifest, slot: int, x: Floats) -> None:
        begin = slot * SLOT_BYTES + manifest.slot(len(x)).inputs[0]
        self.slots[begin : begin + x.nbytes] = x.tobytes()

    def read(self, manifest: Manifest, slot: int, rows: int) -> Floats:
        begin = slot * SLOT_BYTES + manifest.slot(rows).outputs[0]
        end = begin + 4 * rows * manifest.outputs[0].shape[0]
        return np.frombuffer(self.slots[begin:end], np.float32).reshape(rows, -1)

    def shut_down(self) -> None:
        self.channel.send(Envelope(shutdown=Shutdown()))

    def end(self) -> str:
        """Waits for the process to end by itself; what it wrote to stderr."""
        _, errors = self.process.communicate(timeout=TIMEOUT_S)
        return errors

    def close(self) -> None:
        """Ends it if it has not ended, and lets everything go."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.slots.close()
        os.close(self._io)
