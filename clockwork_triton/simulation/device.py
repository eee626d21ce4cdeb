"""A worker on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.controller.specs import WorkerSpec

FOREVER = 1 << 62

Durations = Callable[[Action, int], int]
"""How long a LOAD or an INFER really takes, in nanoseconds, if it begins at this time."""


@dataclass(slots=True)
class DeviceUse:
    """Time spent."""

    infer_ns: int = 0
    load_ns: int = 0


class SimulatedDevice:
    """One executor for INFERs and one for LOADs and UNLOADs, or one for all, each in the order sent.

    What becomes of an action is known as soon as it is sent, because nothing sent later can change it.
    """

    def __init__(self, spec: WorkerSpec, durations: Durations) -> None:
        self.spec = spec
        self.use = DeviceUse()
        self.counted_until_ns = FOREVER
        self._durations = durations
        self._exec_free_ns = 0
        self._link_free_ns = 0
        self._loaded_ns: dict[int, int] = {}

    def accept(self, action: Action, received_ns: int) -> tuple[int, ActionResult]:
        """The moment at which the result leaves the device, and the result."""
        infer = action.kind is ActionKind.INFER
        free_ns = self._exec_free_ns if infer or not self.spec.overlaps else self._link_free_ns
        begin_ns = max(received_ns, free_ns, action.earliest_ns)
        status = self._check(action, begin_ns)
        worker_id = self.spec.worker_id
        if status is not Status.OK:
            result = ActionResult(action.action_id, worker_id, status, received_ns, 0, 0)
            return begin_ns, result
        duration_ns = self._run(action, begin_ns)
        end_ns = begin_ns + duration_ns
        if infer or not self.spec.overlaps:
            self._exec_free_ns = end_ns
        else:
            self._link_free_ns = end_ns
        return end_ns, ActionResult(action.action_id, worker_id, status, received_ns, begin_ns, end_ns)

    def _check(self, action: Action, begin_ns: int) -> Status:
        if begin_ns > action.latest_ns:
            return Status.TOO_LATE
        loaded_ns = self._loaded_ns.get(action.model_id)
        if action.kind is ActionKind.LOAD:
            return Status.OK if loaded_ns is None else Status.ALREADY_LOADED
        return Status.OK if loaded_ns is not None and loaded_ns <= begin_ns else Status.NOT_LOADED

    def _run(self, action: Action, begin_ns: int) -> int:
        if action.kind is ActionKind.UNLOAD:
            del self._loaded_ns[action.model_id]
            return 0
        duration_ns = self._durations(action, begin_ns)
        counted_ns = max(0, min(duration_ns, self.counted_until_ns - begin_ns))
        if action.kind is ActionKind.LOAD:
            self._loaded_ns[action.model_id] = begin_ns + duration_ns
            self.use.load_ns += counted_ns
        else:
            self.use.infer_ns += counted_ns
        return duration_ns
