"""A worker: receives messages, hands them to the thread they are for, and sends what comes of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from clockwork_triton.controller.actions import ActionKind, Status
from clockwork_triton.transport import messages
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, Hello, ModelRegistered
from clockwork_triton.transport.framing import ChannelError
from clockwork_triton.worker.carrier import Carrier
from clockwork_triton.worker.device import Device, DeviceOptions
from clockwork_triton.worker.executor import SPIN_NS, Executor
from clockwork_triton.worker.finisher import Finisher
from clockwork_triton.worker.performer import Outcome, Performer
from clockwork_triton.worker.registrar import Registrar
from clockwork_triton.worker.windows import Order

STOP_TIMEOUT_S = 5.0


class Worker:
    """Serves one device to the peer of one channel."""

    def __init__(
        self,
        worker_id: int,
        name: str,
        device: Device,
        options: DeviceOptions,
        channel: BlockingChannel,
        *,
        spin_ns: int = SPIN_NS,
        poll_ns: int = 0,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """`poll_ns`: how long the channel is looked at again and again before this sleeps for it. `prepare`:
        for the thread of INFERs, if it has one of its own."""
        self._poll_ns = poll_ns
        self._worker_id = worker_id
        self._name = name
        self._device = device
        self._options = options
        self._channel = channel
        carrier = Carrier(options) if options.arena_fds else None
        performer = Performer(device, options.slots, carrier)
        self._finisher = Finisher(performer.finish, self._report)
        self._infer = Executor("infer", performer.perform, self._report, spin_ns=spin_ns, prepare=prepare)
        self._load = self._infer
        # Two executors have threads of their own.
        self._to_infer = self._to_load = self._infer.add
        if device.overlaps:
            self._load = Executor("load", performer.perform, self._report, spin_ns=spin_ns)
            self._to_infer, self._to_load = self._infer.submit, self._load.submit
        self._registrar = Registrar(device, performer, self._wait_quiet, self._registered, self._end_if_lost)

    def serve(self) -> None:
        """Until the peer says Shutdown or closes the channel. ChannelError if it does not talk sense."""
        parts = self._parts()
        for part in parts:
            part.start()
        self._channel.send(self._hello())
        try:
            if self._infer in parts:
                while self._listen(None):
                    pass
            else:
                self._infer.run(self._listen)
        finally:
            for part in parts:
                part.stop(STOP_TIMEOUT_S)

    def _parts(self) -> list[Executor | Finisher | Registrar]:
        """What has a thread of its own. A single executor works on the one that receives."""
        if self._load is self._infer:
            return [self._registrar]
        return [self._infer, self._load, self._finisher, self._registrar]

    def _listen(self, timeout_s: float | None) -> bool:
        """Hands on what has come, and waits for it if need be; False if nothing more will."""
        if timeout_s is None and self._poll_ns:
            until_ns = time.monotonic_ns() + self._poll_ns
            while not self._channel.wait(0) and time.monotonic_ns() < until_ns:
                pass
        if not self._channel.wait(timeout_s):
            return True
        while True:
            arrival = self._channel.receive()
            if arrival is None or not self._accept(*arrival):
                return False
            if not self._channel.pending:
                return True

    def _accept(self, envelope: Envelope, received_ns: int) -> bool:
        """Hands a message on; False if it is the last."""
        kind = envelope.WhichOneof("body")
        if kind == "action":
            action = messages.action_of(envelope.action, self._worker_id)
            order = Order(action, envelope.action.slot, received_ns, messages.parts_of(envelope.action))
            if action.kind is not ActionKind.INFER:
                self._to_load(order)
                return True
            if not order.parts:
                self._device.expect(action.model_id, action.batch_size, order.slot)
            self._to_infer(order)
        elif kind == "register_model":
            self._registrar.register(envelope.register_model.model_id, Path(envelope.register_model.artifact))
        elif kind == "unregister_model":
            self._registrar.unregister(envelope.unregister_model.model_id)
        elif kind == "shutdown":
            return False
        else:
            raise ChannelError(f"a {kind} message, which is not for a worker")
        return True

    def _hello(self) -> Envelope:
        device = self._device
        return Envelope(
            hello=Hello(
                worker_id=self._worker_id,
                device=self._name,
                device_kind=device.kind,
                pid=os.getpid(),
                page_bytes=device.page_bytes,
                pages=device.pages,
                workspace_bytes=device.workspace_bytes,
                slots=self._options.slots,
                slot_bytes=self._options.slot_bytes,
                overlaps=device.overlaps,
            )
        )

    def _report(self, order: Order, outcome: Outcome) -> None:
        if outcome.outputs is not None:
            self._finisher.submit(order, outcome.outputs)
            return
        self._channel.send(
            messages.result_envelope(
                order.action.action_id,
                outcome.status,
                order.received_ns,
                outcome.stages,
                outcome.message,
                self._device.clock_mhz,
            )
        )
        if outcome.status is Status.DEVICE_ERROR:
            self._end_if_lost()

    def _registered(self, model_id: int, error: str) -> None:
        self._channel.send(Envelope(model_registered=ModelRegistered(model_id=model_id, error=error)))

    def _end_if_lost(self) -> None:
        if self._device.lost:
            # Only another process can open it anew; the server starts one when this one has ended.
            self._channel.end()

    def _wait_quiet(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        return all(
            executor.wait_quiet(max(0.0, deadline - time.monotonic()))
            for executor in (self._infer, self._load)
        )
