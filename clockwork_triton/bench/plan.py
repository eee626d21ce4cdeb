"""From the words of the command line to workloads: those of the simulation, by the same names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from clockwork_triton.bench.models import BenchError
from clockwork_triton.simulation.traces import Maf1Replay, read_maf1, read_timestamps
from clockwork_triton.simulation.workloads import (
    Arrival,
    Bursty,
    ClosedLoop,
    FixedSlo,
    Mix,
    OpenLoop,
    Poisson,
    Steady,
    Timestamps,
    Workload,
)

SECOND = 1_000_000_000


@dataclass(frozen=True)
class Plan:
    """`rate`: requests a second of all models together; of `bursty`, while it is on; of `maf1`, on average.

    `zipf`: the exponent by which models are less asked for than those named before them; 0: all the same.
    `growth`: what `ramp` multiplies its rate with every `step_s`. `slos_ns`: of each model.
    """

    kind: str
    slos_ns: Sequence[int | None]
    rate: float | None = None
    zipf: float = 0.0
    growth: float = 1.5
    step_s: float = 5.0
    on_s: float = 1.0
    off_s: float = 1.0
    concurrency: int = 1
    think_us: float = 0.0
    rows: int = 1
    priority: int = 0
    trace: Path | None = None
    column: str = "TIMESTAMP"
    speed: float = 1.0


def workloads(plan: Plan) -> list[Workload]:
    """BenchError if something is missing or a trace cannot be read."""
    try:
        made = KINDS[plan.kind](plan)
    except (OSError, ValueError) as error:
        raise BenchError(str(error)) from None
    if len(set(plan.slos_ns)) == 1:
        return made
    return [each if isinstance(each, ClosedLoop) else OwnSlos(each, plan.slos_ns) for each in made]


@dataclass(frozen=True)
class OwnSlos:
    """An open loop in which every model has its own SLO."""

    workload: OpenLoop
    slos_ns: Sequence[int | None]

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        for each in self.workload.arrivals(rng, end_ns):
            yield Arrival(each.time_ns, each.model_id, self.slos_ns[each.model_id], each.priority, each.rows)


def _models(plan: Plan) -> range:
    return range(len(plan.slos_ns))


def _mix(plan: Plan) -> Mix:
    return Mix(_models(plan), [1.0 / (n + 1) ** plan.zipf for n in _models(plan)])


def _slo(plan: Plan) -> FixedSlo:
    return FixedSlo(plan.slos_ns[0])


def _rate(plan: Plan) -> float:
    if plan.rate is None:
        raise BenchError(f"{plan.kind} needs --rate")
    return plan.rate


def _trace(plan: Plan) -> Path:
    if plan.trace is None:
        raise BenchError(f"{plan.kind} needs --trace")
    return plan.trace


def _closed_loop(plan: Plan) -> list[Workload]:
    think_ns = round(plan.think_us * 1000)
    return [
        ClosedLoop(n, plan.concurrency, FixedSlo(slo_ns), think_ns, plan.priority, plan.rows)
        for n, slo_ns in enumerate(plan.slos_ns)
    ]


def _steady(plan: Plan) -> list[Workload]:
    return [Steady(_mix(plan), _rate(plan), _slo(plan), plan.priority, plan.rows)]


def _poisson(plan: Plan) -> list[Workload]:
    return [Poisson(_mix(plan), _rate(plan), _slo(plan), plan.priority, plan.rows)]


def _ramp(plan: Plan) -> list[Workload]:
    step_ns = round(plan.step_s * SECOND)
    return [
        Poisson(
            _mix(plan),
            _rate(plan),
            _slo(plan),
            plan.priority,
            plan.rows,
            growth=plan.growth,
            step_ns=step_ns,
        )
    ]


def _bursty(plan: Plan) -> list[Workload]:
    _one_row(plan)
    on_ns, off_ns = (round(seconds * SECOND) for seconds in (plan.on_s, plan.off_s))
    return [Bursty(_mix(plan), _rate(plan), on_ns, off_ns, _slo(plan), plan.priority)]


def _maf1(plan: Plan) -> list[Workload]:
    _one_row(plan)
    return [Maf1Replay(read_maf1(_trace(plan)), _models(plan), _rate(plan), _slo(plan))]


def _timestamps(plan: Plan) -> list[Workload]:
    """The arrivals of the trace go to the models in turn."""
    _one_row(plan)
    times = read_timestamps(_trace(plan), plan.column)
    models = [n % len(plan.slos_ns) for n in range(len(times))]
    return [Timestamps([round(each / plan.speed) for each in times], models, _slo(plan), plan.priority)]


def _one_row(plan: Plan) -> None:
    if plan.rows != 1:
        raise BenchError(f"{plan.kind} sends requests of one row")


KINDS: Mapping[str, Callable[[Plan], list[Workload]]] = {
    "closed-loop": _closed_loop,
    "steady": _steady,
    "poisson": _poisson,
    "ramp": _ramp,
    "bursty": _bursty,
    "maf1": _maf1,
    "timestamps": _timestamps,
}
