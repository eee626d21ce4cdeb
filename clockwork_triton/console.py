"""What a person at the terminal sees: the progress of conversions, the table of models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from converters.request import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelRow:
    """A line of the table shown at start."""

    name: str
    version: str
    state: str
    reason: str = ""
    infer_ms: dict[int, float] = field(default_factory=dict)
    load_ms: float | None = None
    weight_bytes: int | None = None


class ConversionBars:
    """Bars while models are converted: on a terminal live, elsewhere a log line a stage."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.fields[model]:<20}"),
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._stages: dict[str, str] = {}

    def __enter__(self) -> ConversionBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, progress: Progress) -> None:
        if self._bars.disable:
            if self._stages.get(progress.name) != progress.stage:
                self._stages[progress.name] = progress.stage
                log.info("%s: %s", progress.name, progress.stage)
            return
        task = self._tasks.get(progress.name)
        if task is None:
            task = self._tasks[progress.name] = self._bars.add_task("", model=progress.name)
        self._bars.update(
            task, description=progress.stage, completed=progress.done, total=max(1, progress.total)
        )


def show_models(rows: Sequence[ModelRow]) -> None:
    """Prints the table of models to standard error."""
    table = Table(title=None, header_style="bold")
    for heading in ("model", "version", "state"):
        table.add_column(heading)
    for heading in ("batch size: predicted ms", "LOAD ms", "memory MiB"):
        table.add_column(heading, justify="right")
    for row in rows:
        infer = "  ".join(f"{size}: {duration:.3g}" for size, duration in sorted(row.infer_ms.items()))
        table.add_row(
            row.name,
            row.version,
            row.state if not row.reason else f"{row.state}: {row.reason}",
            infer,
            "" if row.load_ms is None else f"{row.load_ms:.3g}",
            "" if row.weight_bytes is None else f"{row.weight_bytes / 2**20:.1f}",
        )
    Console(stderr=True, width=None if Console(stderr=True).is_terminal else 140).print(table)
