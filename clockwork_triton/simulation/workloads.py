"""Who asks for what, when."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random
from typing import Protocol

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """`slo_ns`: from arrival to answer; None for no deadline."""

    time_ns: int
    model_id: int
    slo_ns: int | None
    priority: int = 0
    rows: int = 1


class OpenLoop(Protocol):
    """Arrivals that do not depend on answers."""

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        """In the order of time, all before `end_ns`."""
        ...


class SloSchedule(Protocol):
    """The SLO of a request, which may change with time."""

    def at(self, time_ns: int) -> int | None: ...


@dataclass(frozen=True)
class FixedSlo:
    slo_ns: int | None

    def at(self, time_ns: int) -> int | None:
        return self.slo_ns


@dataclass(frozen=True)
class RampSlo:
    """`first_ns`, multiplied by `factor` after every `step_ns`."""

    first_ns: int
    factor: float
    step_ns: int

    def at(self, time_ns: int) -> int | None:
        return round(self.first_ns * self.factor ** (time_ns // self.step_ns))


@dataclass(frozen=True)
class Mix:
    """Models drawn at random by weight; equal weights where none are given."""

    models: Sequence[int]
    weights: Sequence[float] = ()
    _cumulative: Sequence[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        weights = self.weights or [1.0] * len(self.models)
        assert len(weights) == len(self.models) > 0
        object.__setattr__(self, "_cumulative", list(accumulate(weights)))

    def draw(self, rng: Random) -> int:
        total = self._cumulative[-1]
        return self.models[min(bisect_right(self._cumulative, rng.random() * total), len(self.models) - 1)]


@dataclass(frozen=True)
class Poisson:
    """A Poisson process whose rate is `rate` * `growth` ** (number of whole `step_ns` that have passed)."""

    mix: Mix
    rate: float
    slo: SloSchedule
    priority: int = 0
    rows: int = 1
    growth: float = 1.0
    step_ns: int = SECOND
    begin_ns: int = 0
    end_ns: int | None = None

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        if self.end_ns is not None:
            end_ns = min(end_ns, self.end_ns)
        time = float(self.begin_ns)
        while True:
            step = int(time) // self.step_ns
            mean = SECOND / (self.rate * self.growth**step)
            time -= math.log(1.0 - rng.random()) * mean
            boundary = (step + 1) * self.step_ns
            if self.growth != 1.0 and time >= boundary:
                # The process has no memory: what is left of the wait is drawn anew at the new rate.
                time = float(boundary)
                continue
            now = int(time)
            if now >= end_ns:
                return
            yield Arrival(now, self.mix.draw(rng), self.slo.at(now), self.priority, self.rows)


@dataclass(frozen=True)
class Steady:
    """`rate` requests a second, all equally far apart."""

    mix: Mix
    rate: float
    slo: SloSchedule
    priority: int = 0
    rows: int = 1

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        for number in range(math.ceil(end_ns * self.rate / SECOND)):
            now = int(number * SECOND / self.rate)
            yield Arrival(now, self.mix.draw(rng), self.slo.at(now), self.priority, self.rows)


@dataclass(frozen=True)
class Bursty:
    """A Poisson process that is on for exponentially distributed times and off for others in between."""

    mix: Mix
    rate: float
    on_ns: int
    off_ns: int
    slo: SloSchedule
    priority: int = 0

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        time = 0.0
        while time < end_ns:
            off = time + rng.expovariate(1 / self.on_ns)
            while True:
                time += rng.expovariate(self.rate / SECOND)
                if time >= min(off, end_ns):
                    break
                now = int(time)
                yield Arrival(now, self.mix.draw(rng), self.slo.at(now), self.priority)
            time = off + rng.expovariate(1 / self.off_ns)


@dataclass(frozen=True)
class Timestamps:
    """Arrivals at given times, sorted, of given models."""

    times_ns: Sequence[int]
    models: Sequence[int]
    slo: SloSchedule
    priority: int = 0

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        for time_ns, model_id in zip(self.times_ns, self.models, strict=True):
            if time_ns >= end_ns:
                return
            yield Arrival(time_ns, model_id, self.slo.at(time_ns), self.priority)


@dataclass(frozen=True)
class ClosedLoop:
    """`concurrency` clients of one model, each of which asks again `think_ns` after its answer."""

    model_id: int
    concurrency: int
    slo: SloSchedule
    think_ns: int = 200_000
    priority: int = 0
    rows: int = 1
    begin_ns: int = 0

    def ask(self, time_ns: int) -> Arrival:
        return Arrival(time_ns, self.model_id, self.slo.at(time_ns), self.priority, self.rows)


Workload = OpenLoop | ClosedLoop


def with_slo(workload: Workload, slo_ns: int) -> Workload:
    """The same requests, all with this SLO."""
    return (
        replace(workload, slo=FixedSlo(slo_ns))
        if isinstance(workload, ClosedLoop)
        else _Again(workload, slo_ns)
    )


@dataclass(frozen=True)
class _Again:
    """An open loop whose requests have another SLO."""

    workload: OpenLoop
    slo_ns: int

    def arrivals(self, rng: Random, end_ns: int) -> Iterator[Arrival]:
        for arrival in self.workload.arrivals(rng, end_ns):
            yield replace(arrival, slo_ns=self.slo_ns)
