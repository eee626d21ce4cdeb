"""What became of the actions of this server: counts by worker, and how far predictions were off."""

from __future__ import annotations

from collections import Counter

from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.telemetry.histogram import Histogram

_NAMES = {ActionKind.LOAD: "LOAD", ActionKind.INFER: "INFER"}


class ActionCounters:
    """Of the actions that serve requests; calibrations are left out.

    `done[worker_id, kind]` counts actions that succeeded, `refused[worker_id]` those that did not.

    `errors` holds |measured - predicted| in nanoseconds by kind of action and direction: "under" where it
    took longer than predicted, "over" where it took less.
    """

    def __init__(self) -> None:
        self.done: Counter[tuple[int, ActionKind]] = Counter()
        self.refused: Counter[int] = Counter()
        self.errors: dict[tuple[str, str], Histogram] = {
            (name, direction): Histogram() for name in _NAMES.values() for direction in ("under", "over")
        }

    def record(self, action: Action, result: ActionResult) -> None:
        if result.status is not Status.OK:
            self.refused[action.worker_id] += 1
            return
        self.done[action.worker_id, action.kind] += 1
        # The name of an enumeration's member takes long to look up.
        name = _NAMES.get(action.kind)
        if name is not None:
            error = result.end_ns - result.begin_ns - action.expected_ns
            self.errors[name, "under" if error > 0 else "over"].add(abs(error))
