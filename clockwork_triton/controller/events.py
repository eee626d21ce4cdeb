"""Everything that can happen to the controller. The time of an event is passed beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clockwork_triton.controller.actions import ActionResult, Request
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec


@dataclass(frozen=True, slots=True)
class RequestArrived:
    request: Request


@dataclass(frozen=True, slots=True)
class RequestsArrived:
    """Requests that came together: all of them wait before the first is dispatched."""

    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class RequestCancelled:
    """Takes effect if the request has not been dispatched; else, and for an unknown id, nothing happens."""

    request_id: int


@dataclass(frozen=True, slots=True)
class ResultArrived:
    result: ActionResult


@dataclass(frozen=True, slots=True)
class ModelAdded:
    """From now on requests for the model may arrive."""

    model: ModelSpec


@dataclass(frozen=True, slots=True)
class CalibrationAsked:
    """Measure a model of which only a rough estimate is known, in the time that requests leave.

    `loads` LOADs, and `runs[b]` INFERs of each batch size b, on one worker of the kind. Answered by the
    command Calibrated.
    """

    model_id: int
    device_kind: str
    rough: Estimate
    loads: int
    runs: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class ModelRetired:
    """No further request for the model arrives; those waiting are still served. Answered by ModelGone."""

    model_id: int


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    worker: WorkerSpec


@dataclass(frozen=True, slots=True)
class WorkerLost:
    worker_id: int


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The moment of a WakeAt has come."""


Event = (
    RequestArrived
    | RequestsArrived
    | RequestCancelled
    | ResultArrived
    | ModelAdded
    | CalibrationAsked
    | ModelRetired
    | WorkerJoined
    | WorkerLost
    | TimePassed
)
