"""One line for each action that ended: what was planned and what was measured."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TextIO

from clockwork_triton.controller.actions import Action, ActionResult

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
        self._file: TextIO = path.open("w", buffering=1 << 16)
        self._file.write("\t".join(COLUMNS) + "\n")

    def record(self, now_ns: int, action: Action, result: ActionResult, model: str, pages: int) -> None:
        row = (
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
        self._file.write("\t".join(map(str, row)) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> ActionLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
