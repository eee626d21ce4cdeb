"""The workloads of an experiment described in TOML.

Each has `models` (entries of the file; default: all), `slo_ms` (default: that of the first model), `kind` and
what the kind needs:

    poisson       rate, zipf (0), begin_s, end_s, rows, priority
    ramp          rate, growth (a factor for each step), step_s (30), zipf, priority
    bursty        rate while it is on, on_s and off_s (means), zipf, priority
    closed-loop   concurrency (clients of each model), think_us (200), rows, priority
    maf1          file (invocations per minute), rate (what its mean is scaled to)
    timestamps    file (CSV), column ("TIMESTAMP"), speed (1)

Rates are in requests a second, of all models of the workload together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clockwork_triton.simulation.experiment import SimulatedModel
from clockwork_triton.simulation.toml_table import ExperimentError, Table
from clockwork_triton.simulation.traces import Maf1Replay, read_maf1, read_timestamps
from clockwork_triton.simulation.workloads import (
    Bursty,
    ClosedLoop,
    FixedSlo,
    Mix,
    Poisson,
    Timestamps,
    Workload,
)

MS = 1_000_000
SECOND = 1_000_000_000


def read_slo(entry: Table, default_ms: float) -> int | None:
    """None for 0: no deadline."""
    slo_ms = entry.number("slo_ms", default_ms)
    return round(slo_ms * MS) if slo_ms else None


def read_workloads(
    table: Table, models: Sequence[SimulatedModel], slos: Mapping[str, int | None], folder: Path
) -> list[Workload]:
    """The workloads of one entry; `slos` are the models' own, by group."""
    names = table.get("models", list, list(slos))
    for name in names:
        if name not in slos:
            raise table.fail(f"no model '{name}'")
    places = [n for n, model in enumerate(models) if model.group in names]
    default = slos[names[0]] if names else None
    slo = FixedSlo(read_slo(table, (default or 0) / MS))
    kind = table.get("kind", str, "poisson")
    if kind not in KINDS:
        raise table.fail(f"no kind '{kind}'; there are {', '.join(KINDS)}")
    try:
        workloads = KINDS[kind](table, places, slo, folder)
    except (OSError, ValueError) as error:
        raise error if isinstance(error, ExperimentError) else table.fail(str(error)) from None
    table.done()
    return workloads


def _mix(table: Table, places: Sequence[int]) -> Mix:
    """`zipf`: the exponent by which models are less asked for than those before them; 0: all the same."""
    exponent = table.number("zipf", 0)
    return Mix(places, [1.0 / (n + 1) ** exponent for n in range(len(places))])


def _poisson(table: Table, places: Sequence[int], slo: FixedSlo, _folder: Path) -> list[Workload]:
    return [
        Poisson(
            _mix(table, places),
            table.number("rate", least=1e-6),
            slo,
            table.whole("priority", 0),
            table.whole("rows", 1, 1),
            begin_ns=round(table.number("begin_s", 0) * SECOND),
            end_ns=round(table.number("end_s", 10**6) * SECOND),
        )
    ]


def _ramp(table: Table, places: Sequence[int], slo: FixedSlo, _folder: Path) -> list[Workload]:
    return [
        Poisson(
            _mix(table, places),
            table.number("rate", least=1e-6),
            slo,
            table.whole("priority", 0),
            growth=table.number("growth", least=0.01),
            step_ns=round(table.number("step_s", 30, 0.001) * SECOND),
        )
    ]


def _bursty(table: Table, places: Sequence[int], slo: FixedSlo, _folder: Path) -> list[Workload]:
    return [
        Bursty(
            _mix(table, places),
            table.number("rate", least=1e-6),
            round(table.number("on_s", least=0.001) * SECOND),
            round(table.number("off_s", least=0.001) * SECOND),
            slo,
            table.whole("priority", 0),
        )
    ]


def _closed_loop(table: Table, places: Sequence[int], slo: FixedSlo, _folder: Path) -> list[Workload]:
    concurrency = table.whole("concurrency", least=1)
    think_ns = round(table.number("think_us", 200) * 1000)
    priority, rows = table.whole("priority", 0), table.whole("rows", 1, 1)
    return [ClosedLoop(place, concurrency, slo, think_ns, priority, rows) for place in places]


def _maf1(table: Table, places: Sequence[int], slo: FixedSlo, folder: Path) -> list[Workload]:
    counts = read_maf1(folder / table.get("file", str))
    return [Maf1Replay(counts, places, table.number("rate", least=1e-6), slo)]


def _timestamps(table: Table, places: Sequence[int], slo: FixedSlo, folder: Path) -> list[Workload]:
    times = read_timestamps(folder / table.get("file", str), table.get("column", str, "TIMESTAMP"))
    speed = table.number("speed", 1.0, 1e-6)
    models = [places[n % len(places)] for n in range(len(times))]
    return [Timestamps([round(time / speed) for time in times], models, slo)]


Maker = Callable[[Table, Sequence[int], FixedSlo, Path], list[Workload]]
KINDS: Mapping[str, Maker] = {
    "poisson": _poisson,
    "ramp": _ramp,
    "bursty": _bursty,
    "closed-loop": _closed_loop,
    "maf1": _maf1,
    "timestamps": _timestamps,
}
