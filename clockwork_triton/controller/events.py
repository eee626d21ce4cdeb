"""Everything that can happen to the controller. The time of an event is passed beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from clockwork_triton.controller.actions import ActionResult, Request
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec


class RequestArrived(NamedTuple):
    request: Request


class RequestsArrived(NamedTuple):
    """Requests that came together: all of them wait before the first is dispatched."""

    requests: tuple[Request, ...]


class RequestCancelled(NamedTuple):
    """Takes effect if the request has not been dispatched; else, and for an unknown id, nothing happens."""

    request_id: int


class ResultArrived(NamedTuple):
    result: ActionResult


class ModelAdded(NamedTuple):
    """From now on requests for the model may arrive."""

    model: ModelSpec


class CalibrationAsked(NamedTuple):
    """Measure a model of which only a rough estimate is known, in the time that requests leave.

    `loads` LOADs, and `runs[b]` INFERs of each batch size b, on one worker of the kind. Answered by the
    command Calibrated.
    """

    model_id: int
    device_kind: str
    rough: Estimate
    loads: int
    runs: Mapping[int, int]


class ModelRetired(NamedTuple):
    """No further request for the model arrives; those waiting are still served. Answered by ModelGone."""

    model_id: int


class WorkerJoined(NamedTuple):
    worker: WorkerSpec


class WorkerLost(NamedTuple):
    worker_id: int


class TimePassed(NamedTuple):
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
