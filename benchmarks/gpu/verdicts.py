"""The targets of the GPU workers, each with what was measured against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.gpu.kit import FIRST, Model
from benchmarks.gpu.results import Failure, Infer, Load, Record, Served, Suite, Torch

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"
RUNS = 20_000
"""INFERs of which a 99.99th percentile says something."""
TORCH_RATIO = 1.5
SPREAD = 0.01
LOAD_SHARE = 0.9
OVERHEAD_MS = 1.0


@dataclass(frozen=True)
class Verdict:
    """`found`: the figures, or why there are none. `state`: MET, MISSED or NOT_MEASURED."""

    target: str
    state: str
    found: str

    @classmethod
    def of(cls, target: str, met: bool, found: str) -> Verdict:
        return cls(target, MET if met else MISSED, found)


class Found:
    """The records of a check, asked for."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records

    def why_not(self, *steps: str) -> str:
        """Why something was not measured: the reason nearest to it, the first of `steps` being what it is
        called and the others what it is part of."""
        return next((reason for step in steps if (reason := self.failure(step))), "it was not reached")

    def failure(self, step: str) -> str:
        """The reason, empty for none; the last of several."""
        reasons = [r.reason for r in self.records if isinstance(r, Failure) and r.what == step]
        return reasons[-1] if reasons else ""

    def infer(self, model: str, batch: int) -> Infer | None:
        found = [r for r in self.records if isinstance(r, Infer) and (r.model, r.batch) == (model, batch)]
        return found[0] if found else None

    def torch(self, model: str, batch: int) -> dict[str, float]:
        """Microseconds by way."""
        return {
            r.way: r.us for r in self.records if isinstance(r, Torch) and (r.model, r.batch) == (model, batch)
        }

    def overhead_ms(self, served: Served) -> float | None:
        """Client to client, less the execution and the copies around it, at the median; None where requests
        did not come one by one. The copies are those of the INFERs alone, of the same bytes."""
        if served.execution_ms is None:
            return None
        alone = [
            r.copies
            for r in self.records
            if isinstance(r, Infer) and r.batch == 1 and r.model == served.model
        ]
        return served.p50_ms - served.execution_ms - sum(alone[:1]) / 1e3

    def load(self, model: str) -> Load | None:
        found = [r for r in self.records if isinstance(r, Load) and r.model == model]
        return found[0] if found else None


def verdicts(records: Sequence[Record], models: Sequence[Model], serve: Sequence[str]) -> list[Verdict]:
    """Of the models of a kit, of which those of `serve` (by key) are asked of a server."""
    found = Found(records)
    every: list[Verdict] = []
    for model in models:
        for batch in model.batches:
            every += _infer(found, model, batch)
    every += [_load(found, model) for model in models]
    every += [_torch(found, model, batch) for model in models for batch in model.batches]
    every += [_served(found, key) for key in serve]
    return [*every, _tests(found)]


def _infer(found: Found, model: Model, batch: int) -> Iterator[Verdict]:
    what = f"{model.key}, batch {batch}"
    targets: list[tuple[str, Callable[[Infer], tuple[bool, str]]]] = [
        (f"{what}: right", _right),
        (f"{what}: at least {RUNS} runs", _enough),
    ]
    if (model.name, batch) == (FIRST, 1):
        targets.append((f"{what}: p99.99 within {100 * SPREAD:g} % of the median", _spread))
    record = found.infer(model.key, batch)
    for target, judge in targets:
        if record is None:
            step = f"infer {model.key}"
            yield Verdict(target, NOT_MEASURED, found.why_not(f"{step} {batch}", step))
        elif judge is _right and record.difference is None:
            yield Verdict(target, NOT_MEASURED, "the kit has not its weights")
        else:
            yield Verdict.of(target, *judge(record))


def _right(record: Infer) -> tuple[bool, str]:
    assert record.difference is not None
    # Not what is larger is wrong, but what is not known to be smaller: it may be no number.
    met = record.difference <= record.allowed
    return met, f"differs by {record.difference:.1e}, of which {record.allowed:.0e} is allowed"


def _enough(record: Infer) -> tuple[bool, str]:
    count = record.times.gpu.count
    return count >= RUNS, f"{count} runs"


def _spread(record: Infer) -> tuple[bool, str]:
    """Of the INFER time, which is what is predicted; what the wall clock shows is told."""
    gpu, wall = record.times.gpu, record.times.wall
    found = f"{100 * gpu.spread:.2f} % over {gpu.count} runs; by the wall clock {100 * wall.spread:.2f} %"
    return gpu.spread <= SPREAD, found


def _load(found: Found, model: Model) -> Verdict:
    target = f"{model.key}: LOAD to other pages at {100 * LOAD_SHARE:g} % of a raw copy"
    record = found.load(model.key)
    if record is None:
        return Verdict(target, NOT_MEASURED, found.why_not(f"load {model.key}"))
    rate = record.rate(record.moved)
    share = rate / record.raw_rate
    return Verdict.of(
        target, share >= LOAD_SHARE, f"{100 * share:.0f} % ({rate:.1f} of {record.raw_rate:.1f} GB/s)"
    )


def _torch(found: Found, model: Model, batch: int) -> Verdict:
    target = f"{model.key}, batch {batch}: at most {TORCH_RATIO:g} times PyTorch's best"
    record, times = found.infer(model.key, batch), found.torch(model.key, batch)
    part = f"PyTorch {model.key} {batch}"
    if not times:
        return Verdict(target, NOT_MEASURED, found.why_not(part, f"PyTorch {model.key}", "PyTorch"))
    if record is None:
        return Verdict(target, NOT_MEASURED, "its INFERs were not measured")
    ratio = record.times.gpu.p50 / min(times.values())
    if ratio <= TORCH_RATIO and (reason := found.failure(part)):
        # Its best may be among the ways that failed.
        return Verdict(target, NOT_MEASURED, f"{ratio:.2f} times the best of some: {reason}")
    return Verdict.of(target, ratio <= TORCH_RATIO, f"{ratio:.2f} times")


def _served(found: Found, key: str) -> Verdict:
    target = f"{key}: serving overhead at most {OVERHEAD_MS:g} ms at the median"
    for record in found.records:
        if isinstance(record, Served) and record.model == key:
            overhead_ms = found.overhead_ms(record)
            if overhead_ms is not None:
                return Verdict.of(target, overhead_ms <= OVERHEAD_MS, f"{overhead_ms:.2f} ms")
    return Verdict(target, NOT_MEASURED, found.why_not(f"serving {key}", "serving"))


def _tests(found: Found) -> Verdict:
    target = "the tests that need a GPU pass"
    for record in found.records:
        if isinstance(record, Suite):
            return Verdict.of(target, record.passed, record.line)
    return Verdict(target, NOT_MEASURED, found.why_not("tests"))
