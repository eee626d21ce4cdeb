"""Everything the controller can ask of the shell that drives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from clockwork_triton.controller.actions import Action, Outcome


class SendAction(NamedTuple):
    action: Action


class AnswerRequest(NamedTuple):
    """Exactly one for each request. With OK, `action_id` is the INFER that served it."""

    request_id: int
    outcome: Outcome
    action_id: int | None = None
    message: str = ""


class WakeAt(NamedTuple):
    """Deliver TimePassed at this moment. Replaces an earlier WakeAt."""

    time_ns: int


class Calibrated(NamedTuple):
    """The durations measured; `error` tells why there are none. `clock_mhz`: the device's clock meanwhile, 0
    if it tells none."""

    model_id: int
    device_kind: str
    load_ns: tuple[int, ...]
    infer_ns: Mapping[int, tuple[int, ...]]
    error: str = ""
    clock_mhz: int = 0


class ModelGone(NamedTuple):
    """A retired model has no request, action or page left."""

    model_id: int


class WorkerStuck(NamedTuple):
    """An action of the worker is overdue by far. It gets no more work until a result of it arrives; whoever
    runs it should end it, and say WorkerLost."""

    worker_id: int


Command = SendAction | AnswerRequest | WakeAt | Calibrated | ModelGone | WorkerStuck
