"""What a run came to, in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clockwork_triton.bench.ledger import Ledger, Outcome

SECOND = 1_000_000_000
MS = 1_000_000
PERCENTILES = (50, 90, 99, 99.9, 100)
KEPT_NS = 2 * MS
KEPT_SHARE = 0.01
"""A schedule counts as kept if at most this share of the requests was sent later than KEPT_NS."""
BUSY = 0.9
"""A client that uses more of a core than this measures itself."""

Times = NDArray[np.int64]


def percentiles_ms(times_ns: Times) -> tuple[float, ...]:
    """At PERCENTILES, by the nearest-rank method, so always measured values; NaN if there are none."""
    if not len(times_ns):
        return (math.nan,) * len(PERCENTILES)
    found = np.percentile(times_ns, PERCENTILES, method="inverted_cdf")
    return tuple(float(each) / MS for each in found)


@dataclass(frozen=True)
class Figures:
    """Of one model, or of all. `counts` by Outcome. Latencies are of answers, `refusals_ms` of refusals; both
    run from sending to reading."""

    sent: int
    counts: Sequence[int]
    window_s: float
    latencies_ms: Sequence[float]
    refusals_ms: Sequence[float]

    @property
    def goodput(self) -> float:
        return self.counts[Outcome.GOOD] / self.window_s

    @property
    def offered(self) -> float:
        return self.sent / self.window_s

    def document(self) -> dict[str, Any]:
        names = [f"p{percent:g}" if percent < 100 else "max" for percent in PERCENTILES]
        return {
            "sent": self.sent,
            "offered_per_s": self.offered,
            "goodput_per_s": self.goodput,
            "answered_per_s": (self.counts[Outcome.GOOD] + self.counts[Outcome.LATE]) / self.window_s,
            **{outcome.name.lower(): self.counts[outcome] for outcome in Outcome},
            "latency_ms": dict(zip(names, map(_plain, self.latencies_ms), strict=True)),
            "refusal_ms": dict(zip(names, map(_plain, self.refusals_ms), strict=True)),
        }


@dataclass(frozen=True)
class Schedule:
    """How well the client did what it was told. `lag_ms`: how much later than due requests were sent, at
    PERCENTILES; empty for closed loops, which have no schedule. `cpu`: of one core."""

    lag_ms: Sequence[float]
    late_share: float
    cpu: float

    @property
    def kept(self) -> bool:
        return self.late_share <= KEPT_SHARE

    @property
    def complaint(self) -> str:
        """Why the figures are not the server's alone, or nothing."""
        if not self.kept:
            return (
                f"The schedule was not kept: {self.late_share:.1%} of the requests were sent more than"
                f" {KEPT_NS / MS:g} ms late, the worst {self.lag_ms[-1]:.1f} ms."
            )
        if self.cpu > BUSY:
            return f"The client used {self.cpu:.0%} of a core: it may be what was measured."
        return ""


@dataclass(frozen=True)
class Second:
    """One second of a run, by when its requests were due."""

    at_s: float
    sent: int
    counts: Sequence[int]
    p99_ms: float


@dataclass(frozen=True)
class Summary:
    total: Figures
    models: Sequence[Figures]
    schedule: Schedule
    seconds: Sequence[Second]
    words: Sequence[tuple[str, int]]


def summarise(
    ledger: Ledger, models: int, begin_ns: int, end_ns: int, *, open_loop: bool, cpu: float
) -> Summary:
    """Of the requests that were due from `begin_ns` to `end_ns`."""
    columns = _Columns(ledger, begin_ns, end_ns)
    window_s = (end_ns - begin_ns) / SECOND
    lag = columns.sent - columns.due
    late_share = float(np.mean(lag > KEPT_NS)) if len(lag) else 0.0
    return Summary(
        columns.figures(np.ones(len(columns.due), dtype=bool), window_s),
        [columns.figures(columns.models == model, window_s) for model in range(models)],
        Schedule(percentiles_ms(lag) if open_loop else (), late_share, cpu),
        list(columns.seconds(begin_ns, end_ns)),
        columns.words_of(ledger),
    )


class _Columns:
    def __init__(self, ledger: Ledger, begin_ns: int, end_ns: int) -> None:
        due = np.array(ledger.due, dtype=np.int64)
        chosen = (due >= begin_ns) & (due < end_ns)
        self.due = due[chosen]
        self.models = np.array(ledger.models, dtype=np.int64)[chosen]
        self.sent = np.array(ledger.sent, dtype=np.int64)[chosen]
        self.outcomes = np.array(ledger.outcomes, dtype=np.int64)[chosen]
        self.words = np.array(ledger.words, dtype=np.int64)[chosen]
        self.latencies = np.array(ledger.done, dtype=np.int64)[chosen] - self.sent

    def words_of(self, ledger: Ledger) -> list[tuple[str, int]]:
        """Most frequent first."""
        counts = np.bincount(self.words[self.words >= 0], minlength=len(ledger.known_words)).tolist()
        found = [(text, counts[number]) for text, number in ledger.known_words.items() if counts[number]]
        return sorted(found, key=lambda entry: -entry[1])

    def figures(self, chosen: NDArray[np.bool_], window_s: float) -> Figures:
        outcomes, latencies = self.outcomes[chosen], self.latencies[chosen]
        return Figures(
            len(outcomes),
            np.bincount(outcomes, minlength=len(Outcome)).tolist(),
            window_s,
            percentiles_ms(latencies[outcomes <= Outcome.LATE]),
            percentiles_ms(latencies[outcomes == Outcome.REFUSED]),
        )

    def seconds(self, begin_ns: int, end_ns: int) -> list[Second]:
        places = (self.due - begin_ns) // SECOND
        order = np.argsort(places, kind="stable")
        edges = np.searchsorted(places[order], np.arange(math.ceil((end_ns - begin_ns) / SECOND) + 1))
        found = []
        for at, (first, last) in enumerate(pairwise(edges)):
            chosen = order[first:last]
            answered = self.latencies[chosen][self.outcomes[chosen] <= Outcome.LATE]
            counts = np.bincount(self.outcomes[chosen], minlength=len(Outcome)).tolist()
            found.append(Second(float(at), len(chosen), counts, percentiles_ms(answered)[2]))
        return found


def _plain(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else round(value, 6)
