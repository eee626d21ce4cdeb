"""Quantiles of what was measured lately, as Prometheus summaries give them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)
WINDOW_NS = 60 * 10**9

_MOST_SAMPLES = 4096


class Summary:
    """`count` and `total` are of everything; quantiles of the last minute, or as much of it as is kept."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0
        self._samples: deque[tuple[int, int]] = deque(maxlen=_MOST_SAMPLES)

    def add(self, now_ns: int, value: int) -> None:
        self.count += 1
        self.total += value
        self._samples.append((now_ns, value))

    def become_sum(self, parts: Sequence[Summary]) -> None:
        """Takes what others have measured, in place of what it was."""
        self.count = sum(part.count for part in parts)
        self.total = sum(part.total for part in parts)
        self._samples.clear()
        self._samples.extend(sorted(sample for part in parts for sample in part._samples))

    def quantiles(self, now_ns: int, wanted: Sequence[float]) -> list[int | None]:
        """None where nothing was measured within the window."""
        values = sorted(value for then, value in self._samples if now_ns - then <= WINDOW_NS)
        if not values:
            return [None] * len(wanted)
        return [values[min(len(values) - 1, int(quantile * len(values)))] for quantile in wanted]
