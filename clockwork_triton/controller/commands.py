"""Everything the controller can ask of the shell that drives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clockwork_triton.controller.actions import Action, Outcome


@dataclass(frozen=True, slots=True)
class SendAction:
    action: Action


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """Exactly one for each request. With OK, `action_id` is the INFER that served it."""

    request_id: int
    outcome: Outcome
    action_id: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Deliver TimePassed at this moment. Replaces an earlier WakeAt."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The durations measured; `error` tells why there are none."""

    model_id: int
    device_kind: str
    load_ns: tuple[int, ...]
    infer_ns: Mapping[int, tuple[int, ...]]
    error: str = ""


@dataclass(frozen=True, slots=True)
class ModelGone:
    """A retired model has no request, action or page left."""

    model_id: int


@dataclass(frozen=True, slots=True)
class WorkerStuck:
    """An action of the worker is overdue by far. It gets no more work until a result of it arrives; whoever
    runs it should end it, and say WorkerLost."""

    worker_id: int


Command = SendAction | AnswerRequest | WakeAt | Calibrated | ModelGone | WorkerStuck
