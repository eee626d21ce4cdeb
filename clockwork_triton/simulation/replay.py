"""A server's own logs as an experiment."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from clockwork_triton.simulation.experiment import DeviceSpec, Experiment, SimulatedModel
from clockwork_triton.simulation.noise import Recorded
from clockwork_triton.simulation.recorded_actions import RecordedActions
from clockwork_triton.simulation.toml_table import ExperimentError
from clockwork_triton.simulation.workloads import Arrival
from clockwork_triton.telemetry import action_log, request_log

SECOND = 1_000_000_000


@dataclass(frozen=True)
class RecordedArrivals:
    """Requests as they were, each with its own model, rows, SLO and priority."""

    recorded: Sequence[Arrival]

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        return (arrival for arrival in self.recorded if arrival.time_ns < end_ns)


@dataclass(frozen=True)
class Measured:
    """What a server did, for comparison: of the requests of its log, the answers within their SLO a second,
    and the latencies of all answers, sorted."""

    goodput_rps: float
    latencies_ns: Sequence[int]


def read_logs(requests: Path, actions: Path, pages: int, *, overlaps: bool) -> tuple[Experiment, Measured]:
    """The traffic of a request log, to be served by one device that takes as long as that of the action log.

    `pages`, `overlaps`: the device's, which the logs do not tell. ExperimentError if the logs make no sense.
    """
    request_rows = _rows(requests, request_log.COLUMNS)
    action_rows = _rows(actions, action_log.COLUMNS)
    if not request_rows:
        raise ExperimentError(f"{requests}: no requests")
    names = sorted({row["model"] for row in request_rows})
    try:
        recorded = RecordedActions(action_rows)
        arrivals, measured = _traffic(request_rows, names)
    except ValueError as error:
        raise ExperimentError(f"{requests}, {actions}: {error}") from None
    segments = recorded.pages()
    first_ns = min(int(row["arrival_ns"]) for row in request_rows)
    models = [SimulatedModel(name, name, recorded.estimate(name), (segments.get(name, 1),)) for name in names]
    experiment = Experiment(
        requests.stem,
        models,
        [RecordedArrivals(arrivals)],
        arrivals[-1].time_ns + 1,
        device=DeviceSpec(pages, overlaps=overlaps),
        network=recorded.network(first_ns),
        noise=Recorded(recorded.durations(names, first_ns)),
        about=f"the requests of {requests.name}",
    )
    return experiment, measured


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="") as file:
            reader = csv.DictReader(file, delimiter="\t")
            if tuple(reader.fieldnames or ()) != tuple(columns):
                raise ExperimentError(f"{path}: not a log with the columns {', '.join(columns)}")
            return list(reader)
    except OSError as error:
        raise ExperimentError(str(error)) from None


def _traffic(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> tuple[list[Arrival], Measured]:
    place = {name: n for n, name in enumerate(names)}
    ordered = sorted(rows, key=lambda row: int(row["arrival_ns"]))
    first_ns = int(ordered[0]["arrival_ns"])
    arrivals = []
    latencies = []
    good = 0
    for row in ordered:
        slo_ns = int(row["slo_ns"]) or None
        arrivals.append(
            Arrival(
                int(row["arrival_ns"]) - first_ns,
                place[row["model"]],
                slo_ns,
                int(row["priority"]),
                int(row["rows"]),
            )
        )
        if row["outcome"] == "ok":
            latency_ns = int(row["latency_ns"])
            latencies.append(latency_ns)
            good += slo_ns is None or latency_ns <= slo_ns
    seconds = max(1, arrivals[-1].time_ns) / SECOND
    return arrivals, Measured(good / seconds, sorted(latencies))
