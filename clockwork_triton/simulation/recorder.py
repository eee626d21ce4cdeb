"""What is counted while a simulation runs."""

from __future__ import annotations

from array import array
from collections import Counter

from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Outcome, Request, Status

SECOND = 1_000_000_000
# An INFER that takes so many times as long as expected is an outlier.
OUTLIER = 3


class ModelCounts:
    """Of the requests of one model that count."""

    __slots__ = ("in_time", "late", "offered", "other", "refused")

    def __init__(self) -> None:
        self.offered = 0
        self.in_time = 0
        self.late = 0
        self.refused = 0
        self.other = 0


class Recorder:
    """Counts begin with `start`; requests that arrive in the time to warm up after it are left out."""

    def __init__(self, series_step_ns: int = 10 * SECOND) -> None:
        self.series_step_ns = series_step_ns
        self._begin_ns = 0
        self._counted_from_ns = 0
        self.models: dict[int, ModelCounts] = {}
        self.latencies_ns = array("q")
        self.refusals_ns = array("q")
        self.batches: Counter[int] = Counter()
        self.loads = 0
        self.unloads = 0
        self.refused_actions = 0
        self.over_ns = array("q")
        self.under_ns = array("q")
        self.late_without_outlier = 0
        """Late answers of INFERs that did not take several times as long as expected."""
        self._outlier = False
        self.series: dict[int, list[int]] = {}
        """By step of time: requests offered, answered in time, late, refused; those with a deadline that were
        offered and answered in time."""

    def start(self, now_ns: int, warm_up_ns: int) -> None:
        self.models.clear()
        self.series.clear()
        del self.latencies_ns[:], self.refusals_ns[:]
        self.late_without_outlier = 0
        self.batches.clear()
        self.loads = self.unloads = self.refused_actions = 0
        del self.over_ns[:], self.under_ns[:]
        self._begin_ns = now_ns
        self._counted_from_ns = now_ns + warm_up_ns

    def answered(self, request: Request, outcome: Outcome, now_ns: int) -> None:
        if request.arrival_ns < self._counted_from_ns:
            return
        counts = self.models.get(request.model_id)
        if counts is None:
            counts = self.models[request.model_id] = ModelCounts()
        counts.offered += 1
        step = (request.arrival_ns - self._begin_ns) // self.series_step_ns
        row = self.series.get(step)
        if row is None:
            row = self.series[step] = [0, 0, 0, 0, 0, 0]
        row[0] += 1
        if request.deadline_ns is not None:
            row[4] += 1
            row[5] += outcome is Outcome.OK and now_ns <= request.deadline_ns
        if outcome is Outcome.OK:
            self.latencies_ns.append(now_ns - request.arrival_ns)
            if request.deadline_ns is None or now_ns <= request.deadline_ns:
                counts.in_time += 1
                row[1] += 1
            else:
                counts.late += 1
                row[2] += 1
                self.late_without_outlier += not self._outlier
        elif outcome is Outcome.REFUSED:
            counts.refused += 1
            self.refusals_ns.append(now_ns - request.arrival_ns)
            row[3] += 1
        else:
            counts.other += 1

    def sent(self, action: Action) -> None:
        if action.kind is ActionKind.INFER:
            self.batches[action.batch_size] += 1
        elif action.kind is ActionKind.LOAD:
            self.loads += 1
        else:
            self.unloads += 1

    def ended(self, action: Action, result: ActionResult, now_ns: int) -> None:
        """The result is known at `now_ns`."""
        if result.status is not Status.OK:
            self.refused_actions += 1
        elif action.kind is ActionKind.INFER:
            error = action.expected_ns - (result.end_ns - result.begin_ns)
            self._outlier = result.end_ns - result.begin_ns > OUTLIER * action.expected_ns
            if error >= 0:
                self.over_ns.append(error)
            else:
                self.under_ns.append(-error)
