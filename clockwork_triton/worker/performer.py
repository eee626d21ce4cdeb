"""Checks each action against what the device holds, has the device perform it, and says what became of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.arena import Arena, PlacementError
from clockwork_triton.worker.carrier import Carrier
from clockwork_triton.worker.device import Device, Outputs
from clockwork_triton.worker.windows import Order

log = logging.getLogger(__name__)

NO_STAGES = Stages()


class Outcome(NamedTuple):
    """What became of an action; the stages are those of a device that worked, else all 0.

    `outputs`: the action is done but for these; `Performer.finish` makes the outcome whole.
    """

    status: Status
    message: str = ""
    stages: Stages = NO_STAGES
    outputs: Outputs | None = None


TOO_LATE = Outcome(Status.TOO_LATE)


class Performer:
    """Performs orders. INFERs come from one thread, LOADs and UNLOADs from one, which may be the same."""

    def __init__(
        self,
        device: Device,
        slots: int,
        carrier: Carrier | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`carrier` None: all tensors are in the I/O slots."""
        self._device = device
        self._slots = slots
        self._carrier = carrier
        self._clock = clock
        self._arena = Arena(device.pages)
        self._changing = threading.Lock()
        # A model is in the arena from the beginning of its LOAD, and here from its end.
        self._loaded: set[int] = set()
        self._running: int | None = None

    def perform(self, order: Order) -> Outcome:
        """Never raises: what the device raises is an outcome too."""
        action = order.action
        try:
            if action.kind is ActionKind.INFER:
                return self._infer(order)
            if action.kind is ActionKind.LOAD:
                return self._load(action)
            return self._unload(action)
        except Exception as error:
            return _failure(action, error)

    def finish(self, order: Order, outputs: Outputs) -> Outcome:
        """Waits for the outputs of an INFER; never raises. Runs beside further orders."""
        try:
            stages = outputs.wait()
            if order.parts:
                facts = self._device.registered(order.action.model_id)
                assert facts is not None
                assert self._carrier is not None
                self._carrier.bring(facts.manifest, order.action.batch_size, order.slot, order.parts)
            return _done(stages)
        except Exception as error:
            return _failure(order.action, error)

    def unregister(self, model_id: int) -> Iterator[None]:
        """Forgets the model, in pieces; one that is loaded is unloaded."""
        with self._changing:
            self._loaded.discard(model_id)
            if model_id in self._arena:
                self._arena.free(model_id)
        yield from self._device.unregister(model_id)

    def _infer(self, order: Order) -> Outcome:
        action, slot = order.action, order.slot
        facts = self._device.registered(action.model_id)
        if facts is None:
            return Outcome(Status.UNKNOWN_MODEL)
        if action.batch_size not in facts.batch_sizes:
            return Outcome(Status.INVALID_ACTION, f"the model has no batch size {action.batch_size}")
        if not 0 <= slot < self._slots:
            return Outcome(Status.INVALID_ACTION, f"slot {slot} of {self._slots}")
        with self._changing:
            if action.model_id not in self._loaded:
                return Outcome(Status.NOT_LOADED)
            self._running = action.model_id
        try:
            if order.parts:
                return self._infer_fetched(order, facts.manifest)
            return _done(self._device.infer(action.model_id, action.batch_size, slot))
        finally:
            self._running = None

    def _infer_fetched(self, order: Order, manifest: Manifest) -> Outcome:
        action, slot, carrier = order.action, order.slot, self._carrier
        if carrier is None:
            return Outcome(Status.INVALID_ACTION, "tensors of front ends, of which there are none")
        begin_ns = self._clock()
        carrier.fetch(manifest, action.batch_size, slot, order.parts)
        # Whatever was brought to the device from this slot before is none of these.
        self._device.expect(action.model_id, action.batch_size, slot)
        fetched_ns = self._clock()
        result = self._device.infer(action.model_id, action.batch_size, slot)
        if not isinstance(result, Stages):
            return _done(result)
        infer_ns = self._clock()
        carrier.bring(manifest, action.batch_size, slot, order.parts)
        times = (begin_ns, fetched_ns, infer_ns, self._clock())
        return _done(Stages(result.begin_ns, result.end_ns, *times))

    def _load(self, action: Action) -> Outcome:
        model_id = action.model_id
        facts = self._device.registered(model_id)
        if facts is None:
            return Outcome(Status.UNKNOWN_MODEL)
        with self._changing:
            if model_id in self._arena:
                return Outcome(Status.ALREADY_LOADED)
            try:
                self._arena.place(model_id, action.pages, facts.segments)
            except PlacementError as error:
                return Outcome(Status.INVALID_ACTION, str(error))
        try:
            stages = self._device.load(model_id, action.pages)
        except BaseException:
            with self._changing:
                self._arena.free(model_id)
            raise
        with self._changing:
            self._loaded.add(model_id)
        return Outcome(Status.OK, "", stages)

    def _unload(self, action: Action) -> Outcome:
        """Frees the pages; the device has nothing to do."""
        model_id = action.model_id
        if self._device.registered(model_id) is None:
            return Outcome(Status.UNKNOWN_MODEL)
        with self._changing:
            if model_id not in self._loaded:
                return Outcome(Status.NOT_LOADED)
            if self._running == model_id:
                return Outcome(Status.INVALID_ACTION, "an INFER of the model is running")
            self._loaded.discard(model_id)
            self._arena.free(model_id)
        now_ns = self._clock()
        return Outcome(Status.OK, "", Stages(now_ns, now_ns))


def _done(result: Stages | Outputs) -> Outcome:
    if isinstance(result, Stages):
        return Outcome(Status.OK, "", result)
    return Outcome(Status.OK, outputs=result)


def _failure(action: Action, error: Exception) -> Outcome:
    reason = f"{type(error).__name__}: {error}"
    log.error("%s of model %d failed: %s", action.kind.name, action.model_id, reason)
    return Outcome(Status.DEVICE_ERROR, reason)
