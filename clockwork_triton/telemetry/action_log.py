"""One line for each action that ended: what was planned and what was measured."""

from __future__ import annotations

from pathlib import Path

from clockwork_triton.controller.actions import Action, ActionResult
from clockwork_triton.telemetry.tsv import TsvWriter

COLUMNS = (
    "t_ns",
    "action_id",
    "kind",
    "status",
    "worker_id",
    "model_id",
    "model",
    "batch_size",
    "requests",
    "earliest_ns",
    "latest_ns",
    "expected_ns",
    "received_ns",
    "begin_ns",
    "end_ns",
    "pages",
)


class ActionLog:
    """Tab-separated text with a header, times in nanoseconds on the server's monotonic clock.

    `pages` is the number of device pages in use at the worker after the action.
    """

    def __init__(self, path: Path) -> None:
        self._writer = TsvWriter(path, COLUMNS)

    def record(self, now_ns: int, action: Action, result: ActionResult, model: str, pages: int) -> None:
        self._writer.write(
            (
                now_ns,
                action.action_id,
                action.kind.name,
                result.status.name,
                action.worker_id,
                action.model_id,
                model,
                action.batch_size,
                len(action.request_ids),
                action.earliest_ns,
                action.latest_ns,
                action.expected_ns,
                result.received_ns,
                result.begin_ns,
                result.end_ns,
                pages,
            )
        )

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
