"""gpu-report.json, and the same as tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.gpu.measure import ModelResult


@dataclass(frozen=True)
class Report:
    """`torch_us`: by "MODEL PRECISION BATCH", PyTorch's median times by way. `serving`: what the server
    showed end to end. `notes`: what could not be checked, and why. `tests`: what became of those that need a
    GPU."""

    machine: dict[str, Any]
    findings: list[dict[str, Any]]
    models: tuple[ModelResult, ...] = ()
    torch_us: dict[str, dict[str, float]] = field(default_factory=dict)
    serving: list[dict[str, Any]] = field(default_factory=list)
    tests: str = ""
    tests_passed: bool = True
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        document = asdict(self)
        document["verdicts"] = [asdict(verdict) for verdict in self.verdicts()]
        return json.dumps(document, indent=1) + "\n"

    def verdicts(self) -> list[Verdict]:
        """The targets of the GPU workers, each with what was measured against it."""
        found: list[Verdict] = []
        if self.tests:
            found.append(Verdict("the tests that need a GPU pass", self.tests_passed, self.tests))
        for model in self.models:
            for result in model.batches:
                what = f"{model.name} {model.precision}, batch {result.batch}"
                if result.difference is not None:
                    found.append(
                        Verdict(f"{what}: right", result.right, f"differs by {result.difference:.1e}")
                    )
                if (model.name, result.batch) == ("resnet50", 1):
                    text = f"{100 * result.infer.spread:.2f} % over {result.infer.count} runs"
                    met = result.infer.spread <= 0.01
                    found.append(Verdict(f"{what}: p99.99 within 1 % of the median", met, text))
                times = self.torch_us.get(torch_key(model, result.batch))
                if times:
                    ratio = result.infer.p50 / min(times.values())
                    text = f"{ratio:.2f} times"
                    found.append(Verdict(f"{what}: at most 1.5 times PyTorch's best", ratio <= 1.5, text))
            share = model.load_rate / model.raw_rate
            text = f"{100 * share:.0f} % ({model.load_rate:.1f} of {model.raw_rate:.1f} GB/s)"
            name = f"{model.name} {model.precision}: LOAD at 90 % of a raw copy"
            found.append(Verdict(name, share >= 0.9, text))
        for served in self.serving:
            if served["overhead_ms"] is None:
                continue
            text = f"{served['overhead_ms']:.2f} ms"
            name = f"{served['model']}: serving overhead at most 1 ms at the median"
            found.append(Verdict(name, served["overhead_ms"] <= 1.0, text))
        return found

    def to_markdown(self) -> str:
        lines = ["# GPU check", "", *(f"- {key}: {value}" for key, value in self.machine.items()), ""]
        verdicts = [("met" if v.met else "**missed**", v.target, v.found) for v in self.verdicts()]
        lines += _table(("", "target", "measured"), verdicts)
        lines += ["## INFER, microseconds", "", *self._infer_table()]
        lines += ["## LOAD and memory", "", *self._load_table()]
        if self.serving:
            header = tuple(self.serving[0])
            served = [tuple(_number(value) for value in row.values()) for row in self.serving]
            lines += ["## Serving", "", *_table(header, served)]
        wrong = [f for f in self.findings if f["verdict"] != "good"]
        if wrong:
            changes = [(f["subject"], f["found"], f["change"]) for f in wrong]
            lines += ["## The machine", "", *_table(("", "found", "change"), changes)]
        if self.notes:
            lines += ["## Not checked", "", *(f"- {note}" for note in self.notes), ""]
        return "\n".join(lines)

    def _infer_table(self) -> list[str]:
        header = (
            *("model", "precision", "batch", "launches", "runs", "p50", "p99", "p99.99", "longest"),
            *("spread", "one by one p50", "one by one spread", "over p99", "under p99", "around", "PyTorch"),
        )
        rows = []
        for model in self.models:
            for result in model.batches:
                times, plain = result.infer, result.plain
                torch = self.torch_us.get(torch_key(model, result.batch))
                best = f"{min(torch.values()):.1f} ({min(torch, key=torch.__getitem__)})" if torch else ""
                rows.append(
                    (
                        *(model.name, model.precision, str(result.batch), str(model.launches)),
                        str(times.count),
                        *(f"{value:.1f}" for value in (times.p50, times.p99, times.p9999, times.longest)),
                        f"{100 * times.spread:.2f} %",
                        f"{plain.p50:.1f}",
                        f"{100 * plain.spread:.2f} %",
                        *(f"{value:.1f}" for value in (result.over, result.under, result.around)),
                        best,
                    )
                )
        return _table(header, rows)

    def _load_table(self) -> list[str]:
        header = ("model", "p50 us", "GB/s", "raw GB/s", "memory MiB", "unaccounted MiB")
        rows = []
        for model in self.models:
            memory = ", ".join(f"{name} {size >> 20}" for name, size in model.memory.items())
            values = (model.load.p50, model.load_rate, model.raw_rate)
            rows.append(
                (model.name, *(f"{value:.1f}" for value in values), memory, str(model.unaccounted >> 20))
            )
        return _table(header, rows)


@dataclass(frozen=True)
class Verdict:
    target: str
    met: bool
    found: str


def torch_key(model: ModelResult, batch: int) -> str:
    return f"{model.name} {model.precision} {batch}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]
