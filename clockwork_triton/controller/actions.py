"""Actions, their results, and requests."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple


class ActionKind(IntEnum):
    """Numbered as in proto/clockwork.proto."""

    INFER = 0
    LOAD = 1
    UNLOAD = 2


class Status(IntEnum):
    """What became of an action; numbered as in proto/clockwork.proto."""

    OK = 0
    TOO_LATE = 1
    UNKNOWN_MODEL = 2
    NOT_LOADED = 3
    ALREADY_LOADED = 4
    INVALID_ACTION = 5
    DEVICE_ERROR = 6


class Outcome(Enum):
    """What became of a request."""

    OK = "ok"
    REFUSED = "refused"
    """Its deadline cannot be met."""
    CANCELLED = "cancelled"
    WORKER_LOST = "worker lost"
    FAILED = "failed"
    """The device failed, or refused it for a reason other than time."""


class Request(NamedTuple):
    """A client's inference, without its tensors. Times are absolute nanoseconds."""

    request_id: int
    model_id: int
    rows: int
    arrival_ns: int
    deadline_ns: int | None
    priority: int = 0
    """1 is the highest level; 0 stands for the default level, the lowest."""


class Action(NamedTuple):
    """An order to one worker: start within [earliest, latest], or refuse.

    `request_ids` (INFER): the requests of the batch, whose rows lie one after the other in this order; an
    INFER without requests is a calibration run on whatever its slot holds. `pages` (LOAD): the first page
    of each segment of the model.
    """

    action_id: int
    kind: ActionKind
    worker_id: int
    model_id: int
    earliest_ns: int
    latest_ns: int
    expected_ns: int
    batch_size: int = 0
    request_ids: tuple[int, ...] = ()
    pages: tuple[int, ...] = ()


class ActionResult(NamedTuple):
    """`begin_ns` and `end_ns` are of the execution (INFER) or the copy (LOAD), on the controller's clock;
    0 where the worker refused the action. `clock_mhz`: how fast the device's clock was when somebody looked;
    0 if nobody has since the result before."""

    action_id: int
    worker_id: int
    status: Status
    received_ns: int
    begin_ns: int
    end_ns: int
    message: str = ""
    clock_mhz: int = 0
