"""A request that has not been answered."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clockwork_triton.controller.model_state import ModelState

# Later than any moment. A request without a deadline is due FAR after its arrival, so that such requests
# stand behind all deadlines, in the order of their arrival.
FAR = 1 << 61


class Stage(IntEnum):
    QUEUED = 0
    DISPATCHED = 1
    ANSWERED = 2


class Pending:
    """`due_ns`: when its INFER must have ended. `rank`: the priority level as a number that sorts, smallest
    first. `size`: the index of the smallest batch size that holds its rows. `attempts`: how often it was
    given up by a worker."""

    __slots__ = (
        "arrival_ns",
        "attempts",
        "deadline_ns",
        "due_ns",
        "model",
        "rank",
        "request_id",
        "rows",
        "seq",
        "size",
        "stage",
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

    @property
    def patient(self) -> bool:
        """It has no deadline."""
        return self.due_ns >= FAR


def rank_of(priority: int) -> int:
    """Level 1 sorts first, then 2 and so on; level 0, the default, sorts last and is rank 0."""
    return priority - (1 << 32) if priority > 0 else 0
