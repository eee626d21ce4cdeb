"""A request that has not been answered."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from clockwork_triton.controller.keys import FAR

if TYPE_CHECKING:
    from clockwork_triton.controller.model_state import ModelState
    from clockwork_triton.controller.worker_state import WorkerState


class Stage(IntEnum):
    QUEUED = 0
    DISPATCHED = 1
    ANSWERED = 2


class Pending:
    """`due_ns`: when its INFER must have ended. `rank`: the priority level as a number that sorts, smallest
    first. `size`: the index of the smallest batch size that holds its rows. `attempts`: how often it was
    given up by a worker. `charged`: the worker that is reckoned to run it, for so long (`share_ns` in a full
    batch, `cost_ns` alone, `least_ns` in the best batch) and within a slack of the class `slack`; None while
    there is none. `order`: its level and tier at that worker. `unserved`: it was late by that reckoning."""

    __slots__ = (
        "arrival_ns",
        "attempts",
        "charged",
        "cost_ns",
        "deadline_ns",
        "due_ns",
        "least_ns",
        "model",
        "order",
        "rank",
        "request_id",
        "rows",
        "seq",
        "share_ns",
        "size",
        "slack",
        "stage",
        "unserved",
    )

    def __init__(
        self,
        request_id: int,
        model: ModelState,
        rows: int,
        size: int,
        arrival_ns: int,
        deadline_ns: int | None,
        due_ns: int,
        rank: int,
        seq: int,
    ) -> None:
        self.request_id = request_id
        self.model = model
        self.rows = rows
        self.size = size
        self.arrival_ns = arrival_ns
        self.deadline_ns = deadline_ns
        self.due_ns = due_ns
        self.rank = rank
        self.seq = seq
        self.attempts = 0
        self.stage = Stage.QUEUED
        self.charged: WorkerState | None = None
        self.cost_ns = 0
        self.share_ns = 0
        self.least_ns = 0
        self.order = (0, 0)
        self.slack = 0
        self.unserved = False

    @property
    def patient(self) -> bool:
        """It has no deadline."""
        return self.due_ns >= FAR
