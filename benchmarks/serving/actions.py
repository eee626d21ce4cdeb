"""The server's action log, read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """An action and what became of it. Times are the server's monotonic nanoseconds, 0 where none applies.

    `t_ns` is when the result came. `requests` is 0 for a calibration run.
    `pages` is what the worker's device holds after the action.
    """

    t_ns: int
    action_id: int
    kind: str
    status: str
    model: str
    batch_size: int
    requests: int
    expected_ns: int
    begin_ns: int
    end_ns: int
    pages: int

    @property
    def measured_ns(self) -> int:
        return self.end_ns - self.begin_ns

    @property
    def ok(self) -> bool:
        return self.status == "OK"


TEXTS = ("kind", "status", "model")


def read(path: Path) -> list[Record]:
    """Complete only once the server has ended: it writes in blocks. Half a line at the end is left out."""
    return list(parse(path.read_text().split("\n")[:-1]))


def parse(lines: Iterable[str]) -> Iterator[Record]:
    """The first line names the columns; those that Record does not know are passed over."""
    lines = iter(lines)
    names = next(lines).split("\t")
    fields = Record.__dataclass_fields__
    for line in lines:
        row = dict(zip(names, line.split("\t"), strict=True))
        yield Record(**{name: row[name] if name in TEXTS else int(row[name]) for name in fields})  # type: ignore[arg-type]


def served(records: Iterable[Record], model: str) -> list[Record]:
    """The INFERs of a model that answered requests."""
    return [r for r in records if r.kind == "INFER" and r.ok and r.model == model and r.requests]


def residency(records: Iterable[Record], held: Mapping[str, int]) -> list[int]:
    """Device memory in use after every successful LOAD and UNLOAD, in the order in which they ended.

    `held`: what each model takes while it is resident. AssertionError if a model is loaded twice, or
    unloaded without having been loaded. For one worker that was never lost.
    """
    resident: set[str] = set()
    used: list[int] = []
    for record in sorted((r for r in records if r.ok and r.kind != "INFER"), key=lambda r: r.end_ns):
        if record.kind == "LOAD":
            assert record.model not in resident, f"{record.model} was loaded twice"
            resident.add(record.model)
        else:
            assert record.model in resident, f"{record.model} was unloaded without being loaded"
            resident.remove(record.model)
        used.append(sum(held[model] for model in resident))
    return used
