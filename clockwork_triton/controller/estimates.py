"""How long an action will take: the profile, corrected by what is measured."""

from __future__ import annotations

WINDOW = 10
# A longest duration that exceeds the second longest by more than this factor is taken for an accident.
OUTLIER = 1.5


class DurationEstimate:
    """Of one kind of action (model, batch size) on one worker, in nanoseconds.

    `expected_ns` is what a timeline adds up (the median of the window), `bound_ns` what a deadline is held
    against (the 99th percentile of the window, which with ten samples is the longest; but a single outlier
    does not count, or one accident would refuse the requests of the next ten actions). Until the window is
    full, the profile stands in for the samples missing.
    """

    __slots__ = ("_profile_ns", "_times_ns", "_window", "bound_ns", "expected_ns")

    def __init__(self, profile_ns: int) -> None:
        self._profile_ns = profile_ns
        self._window: list[int] = []
        self._times_ns: list[int] = []
        self.expected_ns = profile_ns
        self.bound_ns = profile_ns

    def add(self, measured_ns: int, now_ns: int = 0) -> None:
        window, times_ns = self._window, self._times_ns
        if len(window) == WINDOW:
            del window[0], times_ns[0]
        window.append(measured_ns)
        times_ns.append(now_ns)
        self._conclude()

    def scale(self, factor: float, until_ns: int) -> None:
        """The device takes `factor` times the time for everything that it did until then: what was measured
        later shows it already, or may."""
        self._profile_ns = max(1, round(self._profile_ns * factor))
        measured = zip(self._window, self._times_ns, strict=True)
        self._window = [max(1, round(ns * factor)) if at_ns <= until_ns else ns for ns, at_ns in measured]
        self._conclude()

    def _conclude(self) -> None:
        ordered = sorted(self._window + [self._profile_ns] * (WINDOW - len(self._window)))
        self.expected_ns = ordered[WINDOW // 2]
        longest, second = ordered[-1], ordered[-2]
        self.bound_ns = second if longest > OUTLIER * second else longest
