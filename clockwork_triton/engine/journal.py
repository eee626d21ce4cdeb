"""What the engine writes down: the action log, the request log, and the counters behind the metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionResult
from clockwork_triton.controller.commands import AnswerRequest
from clockwork_triton.engine.options import EngineOptions
from clockwork_triton.inference import InferenceAnswer, InferenceCall
from clockwork_triton.telemetry.action_counters import ActionCounters
from clockwork_triton.telemetry.action_log import ActionLog
from clockwork_triton.telemetry.request_log import RequestLog


class Journal:
    """OSError if a log that was asked for cannot be made; none later."""

    def __init__(self, options: EngineOptions, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._actions = ActionLog(options.action_log) if options.action_log else None
        self._requests = RequestLog(options.request_log) if options.request_log else None
        self.counters = ActionCounters()

    def action(
        self,
        action: Action,
        result: ActionResult,
        model: str,
        pages_used: Callable[[int], int],
        calibrating: bool,
    ) -> None:
        """`pages_used`: by worker, after the action. Calibrations are logged, but do not count."""
        if not calibrating:
            self.counters.record(action, result)
        if self._actions is not None:
            pages = pages_used(action.worker_id)
            self._actions.record(self._clock(), action, result, model, pages)

    def request(
        self,
        call: InferenceCall,
        answer: AnswerRequest,
        measured: InferenceAnswer | None,
        manifests: Mapping[int, Manifest],
    ) -> None:
        if self._requests is not None:
            self._requests.record(
                manifests[call.model_id].name if call.model_id in manifests else "",
                call.arrival_ns,
                call.deadline_ns,
                call.rows,
                call.priority,
                answer.outcome.value,
                self._clock(),
                measured.executed_rows if measured is not None else 0,
            )

    def close(self) -> None:
        for log_file in (self._actions, self._requests):
            if log_file is not None:
                log_file.close()
