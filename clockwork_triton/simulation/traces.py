"""Recorded arrivals, and synthetic ones in the same format.

The MAF1 format (Azure Functions 2019, `invocations_per_function_md.anon.dNN.csv`): a header, then one row a
function with four columns that identify it and one column of invocations for each minute of a day.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from clockwork_triton.simulation.workloads import Arrival, SloSchedule

MINUTE_NS = 60_000_000_000
MINUTES_PER_DAY = 1440
ID_COLUMNS = 4
Counts = NDArray[np.int64]
"""Functions x minutes."""


def read_maf1(path: Path) -> Counts:
    """The invocations of a file, most invoked function first. ValueError if it is not such a file."""
    with path.open(newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        minutes = len(header) - ID_COLUMNS
        if minutes < 1:
            raise ValueError(f"{path}: not a file of invocations per minute")
        try:
            counts = [[int(cell or 0) for cell in row[ID_COLUMNS:]] for row in rows]
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    if not counts or any(len(row) != minutes for row in counts):
        raise ValueError(f"{path}: rows of different length")
    return by_total(np.array(counts, dtype=np.int64))


def write_maf1(path: Path, counts: Counts) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        minutes = range(1, counts.shape[1] + 1)
        rows.writerow(["HashOwner", "HashApp", "HashFunction", "Trigger", *minutes])
        for index, row in enumerate(counts.tolist()):
            rows.writerow([f"owner{index // 8}", f"app{index // 2}", f"function{index}", "http", *row])


def by_total(counts: Counts) -> Counts:
    return counts[np.argsort(-counts.sum(axis=1), kind="stable")]


def synthesise_maf1(
    functions: int, seed: int, minutes: int = MINUTES_PER_DAY, mean_per_minute: float = 100.0
) -> Counts:
    """A day like those recorded: totals over many orders of magnitude, and functions that are steady, that
    follow the time of day, that run by a timer, or that come in bursts."""
    rng = np.random.default_rng(seed)
    rates = rng.lognormal(0.0, 2.7, functions)
    rates *= mean_per_minute / rates.sum() * functions
    time = np.arange(minutes)
    counts = np.zeros((functions, minutes), dtype=np.int64)
    for index, kind in enumerate(rng.choice(4, functions, p=[0.35, 0.3, 0.2, 0.15])):
        shape = _shape(int(kind), time, rng)
        counts[index] = rng.poisson(rates[index] * shape / max(shape.mean(), 1e-9))
    return by_total(counts)


def _shape(kind: int, time: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    if kind == 0:
        return np.ones(len(time))
    if kind == 1:
        phase = rng.uniform(0.0, 2.0 * math.pi)
        return 1.0 + 0.8 * np.sin(2.0 * math.pi * time / MINUTES_PER_DAY + phase)
    if kind == 2:
        period = int(rng.choice([1, 2, 5, 10, 15, 30, 60]))
        return np.asarray((time + rng.integers(period)) % period == 0, dtype=np.float64)
    on = rng.random(len(time)) < 0.03
    return np.where(np.convolve(on, np.ones(5))[: len(time)] > 0, 20.0, 0.3)


@dataclass(frozen=True)
class Maf1Replay:
    """Functions are mapped to models in contiguous blocks, the most invoked first, as Clockwork's artifact
    does; within a minute arrivals are a Poisson process. `rate`: what the mean over the minutes is scaled
    to, in requests a second."""

    counts: Counts
    models: Sequence[int]
    rate: float
    slo: SloSchedule

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        per_model = self._per_model()
        scale = self.rate * 60.0 / max(1e-9, float(per_model.sum(axis=0).mean()))
        draws = np.random.default_rng(rng.getrandbits(64))
        for minute in range(per_model.shape[1]):
            begin_ns = minute * MINUTE_NS
            if begin_ns >= end_ns:
                return
            counts = draws.poisson(per_model[:, minute] * scale)
            models = np.repeat(np.asarray(self.models), counts)
            times = draws.integers(begin_ns, begin_ns + MINUTE_NS, len(models))
            order = np.argsort(times, kind="stable")
            for time_ns, model in zip(times[order].tolist(), models[order].tolist(), strict=True):
                if time_ns >= end_ns:
                    return
                yield Arrival(time_ns, model, self.slo.at(time_ns))

    def _per_model(self) -> NDArray[np.float64]:
        functions, models = len(self.counts), len(self.models)
        owner = np.arange(functions) * models // functions
        summed = np.zeros((models, self.counts.shape[1]))
        np.add.at(summed, owner, self.counts)
        return summed


def read_timestamps(path: Path, column: str) -> list[int]:
    """Nanoseconds since the first, ascending, of a CSV column that holds seconds or dates with a time.

    ValueError if there is no such column, or something else in it.
    """
    with path.open(newline="") as file:
        rows = csv.DictReader(file)
        if column not in (rows.fieldnames or []):
            raise ValueError(f"{path}: no column '{column}'")
        try:
            times = sorted(_seconds(row[column]) for row in rows)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return [round((time - times[0]) * 1e9) for time in times]


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        # Fractions of a second have up to seven digits there, of which six can be read.
        whole, _, fraction = text.strip().partition(".")
        return datetime.fromisoformat(whole).timestamp() + float(f"0.{fraction or 0}")
