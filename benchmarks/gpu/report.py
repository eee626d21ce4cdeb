"""gpu-report.json, and the same as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.gpu.kit import Model
from benchmarks.gpu.results import (
    Busy,
    Failure,
    Findings,
    Infer,
    InferTimes,
    Load,
    Machine,
    OneSlot,
    Plain,
    Record,
    Registering,
    Served,
    Times,
)
from benchmarks.gpu.verdicts import MET, MISSED, Found, Verdict, verdicts

PERCENTILES = ("p50", "p99", "p99.99", "longest")
TIMES = (
    *("runs", *PERCENTILES, "spread"),
    *(f"wall {percentile}" for percentile in PERCENTILES),
    *(f"answer {percentile}" for percentile in PERCENTILES),
)
MEANING = (
    "The first are of the execution, by the GPU's events; wall: by the worker's clock, from the call to when "
    "its kernels were seen to have run; answer: from the arrival, when its inputs are on their way, to the "
    "outputs in the slot."
)


@dataclass(frozen=True)
class Report:
    """Of what was found so far; `models` are those of the kit, `serve` the keys of those that are served.
    `seconds`: by step that has ended."""

    records: Sequence[Record]
    models: Sequence[Model]
    serve: Sequence[str]
    seconds: dict[str, float]

    def verdicts(self) -> list[Verdict]:
        return verdicts(self.records, self.models, self.serve)

    @property
    def all_met(self) -> bool:
        return all(verdict.state == MET for verdict in self.verdicts())

    def write(self, folder: Path) -> None:
        """Both files, each whole at any time."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("gpu-report.json", self.to_json()), ("gpu-report.md", self.to_markdown())):
            scratch = folder / f".{name}"
            scratch.write_text(text)
            scratch.replace(folder / name)

    def to_json(self) -> str:
        document = {
            "verdicts": [asdict(verdict) for verdict in self.verdicts()],
            "records": [{"record": type(record).__name__, **asdict(record)} for record in self.records],
            "seconds": self.seconds,
        }
        return json.dumps(document, indent=1) + "\n"

    def to_markdown(self) -> str:
        lines = ["# GPU check", "", *self._facts()]
        states = {MET: MET, MISSED: f"**{MISSED}**"}
        rows = [(states.get(v.state, f"**{v.state}**"), v.target, v.found) for v in self.verdicts()]
        lines += _table(("", "target", "found"), rows)
        lines += ["## INFER, microseconds", "", MEANING, "", *self._infers()]
        lines += ["## Around an INFER, microseconds", "", *self._around()]
        lines += ["## INFER beside a LOAD, microseconds", "", *self._busy()]
        lines += ["## INFER beside a registration, microseconds", "", *self._registering()]
        lines += ["## LOAD and memory", "", *self._loads()]
        lines += ["## Serving", "", *self._served()]
        lines += self._findings()
        failures = [f"- {r.what}: {r.reason}" for r in self.records if isinstance(r, Failure)]
        if failures:
            lines += ["## Not measured", "", *failures, ""]
        spent = [(step, f"{seconds:.1f}") for step, seconds in self.seconds.items()]
        lines += ["## Time", "", *_table(("step", "s"), spent)]
        return "\n".join(lines)

    def _facts(self) -> list[str]:
        facts = [
            f"- {key}: {value}"
            for record in self.records
            if isinstance(record, Machine)
            for key, value in record.facts.items()
        ]
        return [*facts, ""] if facts else []

    def _findings(self) -> list[str]:
        changes = [
            (finding["subject"], finding["found"], finding["change"])
            for record in self.records
            if isinstance(record, Findings)
            for finding in record.findings
        ]
        return ["## The machine", "", *_table(("", "found", "change"), changes)] if changes else []

    def _infers(self) -> list[str]:
        found = [record for record in self.records if isinstance(record, Infer | OneSlot | Plain)]
        rows = [
            (r.model, str(r.batch), _way(r), *_infer_times(r.times))
            for r in sorted(found, key=lambda record: (record.model, record.batch))
        ]
        return _table(("model", "batch", "how", *TIMES), rows)

    def _around(self) -> list[str]:
        header = ("model", "batch", "launches", "over p99", "under p99", "copies", "around", "PyTorch")
        found = Found(self.records)
        rows = [
            (
                *(r.model, str(r.batch), str(r.launches)),
                *(f"{value:.1f}" for value in (r.over, r.under, r.copies, r.around)),
                ", ".join(f"{way} {us:.1f}" for way, us in found.torch(r.model, r.batch).items()),
            )
            for r in self.records
            if isinstance(r, Infer)
        ]
        return _table(header, rows)

    def _busy(self) -> list[str]:
        rows = [
            (r.model, str(r.batch), str(r.loads), *_infer_times(r.times))
            for r in self.records
            if isinstance(r, Busy)
        ]
        return _table(("model", "batch", "LOADs", *TIMES), rows)

    def _registering(self) -> list[str]:
        rows = [
            (r.model, str(r.batch), beside, *_infer_times(times))
            for r in self.records
            if isinstance(r, Registering)
            for beside, times in (("nothing", r.quiet), (f"{r.registrations} registrations", r.times))
        ]
        return _table(("model", "batch", "beside", *TIMES), rows)

    def _loads(self) -> list[str]:
        header = (
            "model",
            "MB",
            "p50 us",
            "GB/s",
            "to the same pages",
            "raw",
            "memory MiB",
            "unaccounted MiB",
        )
        rows = []
        for record in self.records:
            if isinstance(record, Load):
                rates = (record.rate(record.moved), record.rate(record.still), record.raw_rate)
                memory = ", ".join(f"{name} {size >> 20}" for name, size in record.memory.items())
                rows.append(
                    (
                        *(record.model, f"{record.size / 1e6:.1f}", f"{record.moved.p50:.1f}"),
                        *(f"{rate:.1f}" for rate in rates),
                        *(memory, str(record.unaccounted >> 20)),
                    )
                )
        return _table(header, rows)

    def _served(self) -> list[str]:
        header = ("model", "concurrency", "inferences/s", "p50 ms", "p99 ms", "executed ms", "overhead ms")
        found = Found(self.records)
        rows = [
            (
                *(r.model, str(r.concurrency), f"{r.per_second:.0f}", f"{r.p50_ms:.2f}", f"{r.p99_ms:.2f}"),
                *(
                    "" if value is None else f"{value:.2f}"
                    for value in (r.execution_ms, found.overhead_ms(r))
                ),
            )
            for r in self.records
            if isinstance(r, Served)
        ]
        return _table(header, rows)


def _way(record: Infer | OneSlot | Plain) -> str:
    if isinstance(record, Infer):
        return f"{record.slots} slots in turn"
    return "one slot" if isinstance(record, OneSlot) else "kernel by kernel"


def _infer_times(times: InferTimes) -> tuple[str, ...]:
    """As TIMES has them."""
    parts = (_percentiles(times.gpu), _percentiles(times.wall), _percentiles(times.answer))
    return (str(times.gpu.count), *parts[0], _percent(times.gpu.spread), *parts[1], *parts[2])


def _percentiles(times: Times) -> tuple[str, ...]:
    return tuple(f"{value:.1f}" for value in (times.p50, times.p99, times.p9999, times.longest))


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A line in place of a table of nothing. What a cell quotes must not end it."""
    if not rows:
        return ["Nothing yet.", ""]
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return [*lines, *(f"| {' | '.join(row)} |" for row in cells), ""]
