"""Where the time of a request goes, from its first byte in the socket to the last of its reply on the way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from clockwork_triton.event_loop import turn_end
from clockwork_triton.inference import Moments

STAGES: Mapping[str, str] = {
    "receive": "in the socket, and behind what was read before it",
    "parse": "bytes to a request",
    "admit": "checks, deadline, handed to the engine",
    "decide": "in the controller's queue, until an INFER takes it",
    "send": "inputs laid into the worker's memory, the action written",
    "wait": "on the way to the worker, and for its turn there",
    "execute": "on the device",
    "return": "the result on its way back",
    "serialise": "the controller told, outputs copied, the reply's bytes made",
    "reply": "until the reply's bytes were written to the socket",
}
TOTAL = "total"
STAGE_QUANTILES = (0.5, 0.99)

_MOST_KEPT = 8192


class Stages:
    """The moments of one request, filled in on the way; nanoseconds on the server's monotonic clock."""

    __slots__ = (
        "admitted_ns",
        "arrival_ns",
        "begun_ns",
        "moments",
        "parsed_ns",
        "replied_ns",
        "serialised_ns",
    )

    def __init__(self, arrival_ns: int, begun_ns: int) -> None:
        self.arrival_ns = arrival_ns
        self.begun_ns = begun_ns
        self.parsed_ns = 0
        self.admitted_ns = 0
        self.moments: Moments | None = None
        self.serialised_ns = 0
        self.replied_ns = 0

    def durations_ns(self) -> tuple[int, ...]:
        """In the order of STAGES. Only for a request that was executed and answered."""
        assert self.moments is not None
        times = (
            self.arrival_ns,
            self.begun_ns,
            self.parsed_ns,
            self.admitted_ns,
            *self.moments,
            self.serialised_ns,
            self.replied_ns,
        )
        return tuple(after - before for before, after in pairwise(times))


class StageRecorder:
    """The stages of the requests answered last. What a request costs here is a place in a list."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._at_turn_end: Callable[[Callable[[], None]], None] | None = None
        self._open: list[Stages] = []
        self._kept: deque[Stages] = deque(maxlen=_MOST_KEPT)

    def answered(self, stages: Stages) -> None:
        """The reply was handed to the transport, which writes it by the end of this turn of the loop."""
        stages.serialised_ns = self._clock()
        if stages.moments is None:
            return
        if not self._open:
            if self._at_turn_end is None:
                self._at_turn_end = turn_end(asyncio.get_running_loop())
            self._at_turn_end(self._stand_back)
        self._open.append(stages)

    def durations_ns(self) -> list[tuple[int, ...]]:
        """Of each request, in the order of STAGES."""
        return [stages.durations_ns() for stages in self._kept]

    def _stand_back(self) -> None:
        """Behind everyone who has asked for the end of this turn by now."""
        assert self._at_turn_end is not None
        self._at_turn_end(self._close)

    def _close(self) -> None:
        now_ns = self._clock()
        for stages in self._open:
            stages.replied_ns = now_ns
        self._kept.extend(self._open)
        self._open.clear()


def quantiles_ns(
    durations: Sequence[tuple[int, ...]], wanted: Sequence[float] = STAGE_QUANTILES
) -> dict[str, list[int]]:
    """For each stage, and TOTAL; empty where nothing was recorded."""
    if not durations:
        return {}
    by_stage = zip(STAGES, zip(*durations, strict=True), strict=True)
    columns = {stage: sorted(values) for stage, values in by_stage}
    columns[TOTAL] = sorted(map(sum, durations))
    last = len(durations) - 1
    return {
        stage: [values[min(last, int(quantile * len(durations)))] for quantile in wanted]
        for stage, values in columns.items()
    }
