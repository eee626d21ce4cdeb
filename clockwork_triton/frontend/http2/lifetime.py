"""How long a connection may idle, and how old it may grow."""

from __future__ import annotations

from collections.abc import Callable, Sized

from clockwork_triton.frontend.http2.alarm import Alarm
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.limits import Limits


class Lifetime:
    """Calls `drain()` when a connection has been without calls for `idle_ns` or is `age_ns` old, and `end()`
    when `age_grace_ns` have passed after that."""

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        calls: Sized,
        *,
        heard_ns: Callable[[], int],
        drain: Callable[[], None],
        end: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._calls = calls
        self._heard_ns = heard_ns
        self._drain = drain
        self._idle = Alarm(clock, self._check_idle)
        self._age = Alarm(clock, self._grow_old)
        self._grace = Alarm(clock, end)

    def start(self) -> None:
        if self._limits.idle_ns is not None:
            self._idle.set(self._limits.idle_ns)
        if self._limits.age_ns is not None:
            self._age.set(self._limits.age_ns)

    def cancel(self) -> None:
        for alarm in (self._idle, self._age, self._grace):
            alarm.cancel()

    def _check_idle(self) -> None:
        assert self._limits.idle_ns is not None
        silence_ns = self._clock.now_ns() - self._heard_ns()
        if self._calls:
            self._idle.set(self._limits.idle_ns)
        elif silence_ns < self._limits.idle_ns:
            self._idle.set(self._limits.idle_ns - silence_ns)
        else:
            self._drain()

    def _grow_old(self) -> None:
        self._drain()
        if self._limits.age_grace_ns is not None:
            self._grace.set(self._limits.age_grace_ns)
