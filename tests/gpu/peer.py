"""A worker's process on a GPU, and the engine's end of its channel."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.gpu.kit import Array
from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult
from clockwork_triton.datatypes import numpy_dtype
from clockwork_triton.transport import messages
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, RegisterModel

SLOTS = 4
PLACES = 3
OPEN_NS = 1 << 61
"""A window that ends with it is open."""
TIMEOUT_S = 60.0


class Peer:
    """A started worker that has said Hello, whose arena has room for a model at PLACES places."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.slot_bytes = max(manifest.slot(size).bytes for size in manifest.batch_sizes)
        self.slot_bytes = -(-self.slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.results: dict[int, ActionResult] = {}
        self.registered: dict[int, str] = {}
        self._action_ids = iter(range(1, 1 << 30))
        ours, theirs = socket.socketpair()
        io_fd = os.memfd_create("test-io")
        os.ftruncate(io_fd, SLOTS * self.slot_bytes)
        self._slots = mmap.mmap(io_fd, SLOTS * self.slot_bytes)
        command = [sys.executable, "-m", "clockwork_triton.worker", "--worker-id", "0", "--device", "cuda:0"]
        command += ["--memory", str(PLACES * manifest.pages * manifest.page_bytes)]
        command += ["--workspace", str(manifest.workspace_bytes), "--slots", str(SLOTS)]
        command += ["--slot-bytes", str(self.slot_bytes), "--io-fd", str(io_fd)]
        command += ["--channel-fd", str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(command, pass_fds=(theirs.fileno(), io_fd))
        os.close(io_fd)
        self._channel = BlockingChannel(ours)
        ours.settimeout(TIMEOUT_S)
        hello = self._receive()
        assert hello is not None, "the worker ended"
        assert hello.WhichOneof("body") == "hello"

    def register(self, model_id: int, artifact: Path) -> None:
        """Asks for it; `registered` has the error some time, empty for none."""
        request = RegisterModel(model_id=model_id, artifact=str(artifact))
        self._channel.send(Envelope(register_model=request))

    def load(self, model_id: int, place: int) -> int:
        pages, page = [], place * self.manifest.pages
        for segment in self.manifest.segments:
            pages.append(page)
            page += segment.pages
        return self._order(ActionKind.LOAD, model_id, pages=tuple(pages))

    def unload(self, model_id: int) -> int:
        return self._order(ActionKind.UNLOAD, model_id)

    def infer(self, model_id: int, batch: int, slot: int) -> int:
        return self._order(ActionKind.INFER, model_id, batch, slot)

    def _order(
        self, kind: ActionKind, model_id: int, batch: int = 0, slot: int = 0, pages: tuple[int, ...] = ()
    ) -> int:
        """Sends it; its id."""
        action_id = next(self._action_ids)
        action = Action(action_id, kind, 0, model_id, 0, OPEN_NS, 0, batch, (), pages)
        self._channel.send(messages.action_envelope(action, slot))
        return action_id

    def result(self, action_id: int) -> ActionResult:
        """Waits for it. AssertionError if the worker ends before."""
        while action_id not in self.results:
            assert self._hear(), "the worker ended"
        return self.results.pop(action_id)

    def wait_registered(self, model_id: int) -> str:
        while model_id not in self.registered:
            assert self._hear(), "the worker ended"
        return self.registered.pop(model_id)

    def ends(self) -> bool:
        """Whether the worker closes the channel and ends."""
        while self._hear():
            pass
        self.process.wait(TIMEOUT_S)
        return True

    def _hear(self) -> bool:
        """Files what comes next; False at the end."""
        envelope = self._receive()
        if envelope is None:
            return False
        if envelope.WhichOneof("body") == "model_registered":
            answer = envelope.model_registered
            self.registered[answer.model_id] = answer.error
        else:
            result = messages.action_result(envelope.result, 0)
            self.results[result.action_id] = result
        return True

    def _receive(self) -> Envelope | None:
        arrival = self._channel.receive()
        return None if arrival is None else arrival[0]

    def put(self, slot: int, batch: int, inputs: Sequence[Array]) -> None:
        for array, begin in zip(inputs, self.manifest.slot(batch).inputs, strict=True):
            at = slot * self.slot_bytes + begin
            self._slots[at : at + array.nbytes] = array.tobytes()

    def outputs(self, slot: int, batch: int) -> list[Array]:
        """Flat."""
        found = []
        for tensor, begin in zip(self.manifest.outputs, self.manifest.slot(batch).outputs, strict=True):
            at = slot * self.slot_bytes + begin
            data = self._slots[at : at + tensor.row_bytes * batch]
            found.append(np.frombuffer(data, numpy_dtype(tensor.dtype)))
        return found

    def close(self) -> None:
        """A worker that is left alone ends."""
        self._channel.end()
        self._channel.close()
        try:
            self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
