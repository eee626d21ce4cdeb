"""How tight deadlines have been lately."""

from __future__ import annotations

from clockwork_triton.controller.keys import FAR

SPAN_NS = 500_000_000


class Slack:
    """The least slack (time to spare beyond the execution) of requests of the last half to one second."""

    def __init__(self) -> None:
        self._begin_ns = 0
        self._before_ns = FAR
        self._least_ns = FAR

    def note(self, slack_ns: int, now_ns: int) -> None:
        if now_ns - self._begin_ns >= SPAN_NS:
            self._turn(now_ns)
        if slack_ns < self._least_ns:
            self._least_ns = max(0, slack_ns)

    def least_ns(self, now_ns: int) -> int:
        """FAR if there was no request."""
        if now_ns - self._begin_ns >= SPAN_NS:
            self._turn(now_ns)
        return min(self._least_ns, self._before_ns)

    def _turn(self, now_ns: int) -> None:
        recent = now_ns - self._begin_ns < 2 * SPAN_NS
        self._before_ns = self._least_ns if recent else FAR
        self._least_ns = FAR
        self._begin_ns = now_ns
