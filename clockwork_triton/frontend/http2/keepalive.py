"""PING both ways, by grpc-core's rules: is the client alive, and does it ask too often whether we are."""

from __future__ import annotations

from collections.abc import Callable, Sized

from clockwork_triton.frontend.http2.alarm import Alarm
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.limits import SECOND_NS, Limits
from clockwork_triton.frontend.http2.sender import Sender

_IDLE_PING_INTERVAL_NS = 7200 * SECOND_NS
"""Least time between a client's pings while it has no calls and may not ping without."""


class KeepAlive:
    """Asks a silent client whether it lives: `ping()` sends a PING; `lost()` is called when nothing at all
    came back. `heard_ns()`: when bytes last came."""

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        calls: Sized,
        sender: Sender,
        *,
        heard_ns: Callable[[], int],
        ping: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._calls = calls
        self._sender = sender
        self._heard_ns = heard_ns
        self._ping = ping
        self._lost = lost
        self._alarm = Alarm(clock, self._check)
        self._asked_ns: int | None = None
        self._pings = 0
        self._frames_sent = 0

    def start(self) -> None:
        self._alarm.set(self._limits.keepalive_ns)

    def cancel(self) -> None:
        self._alarm.cancel()

    def _check(self) -> None:
        now_ns = self._clock.now_ns()
        heard_ns = self._heard_ns()
        if self._asked_ns is not None and heard_ns < self._asked_ns:
            self._lost()
            return
        self._asked_ns = None
        silence_ns = now_ns - heard_ns
        if silence_ns < self._limits.keepalive_ns:
            self._alarm.set(self._limits.keepalive_ns - silence_ns)
        elif self._may_ping():
            self._asked_ns = now_ns
            self._ping()
            self._alarm.set(self._limits.keepalive_timeout_ns)
        else:
            self._alarm.set(self._limits.keepalive_ns)

    def _may_ping(self) -> bool:
        if not self._calls and not self._limits.keepalive_without_calls:
            return False
        if self._sender.frames_sent != self._frames_sent:
            self._frames_sent = self._sender.frames_sent
            self._pings = 0
        self._pings += 1
        return self._limits.pings_without_data == 0 or self._pings <= self._limits.pings_without_data


class PingGuard:
    """Counts a client's pings that come before their time: replies sent in between forgive them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._strikes = 0
        self._last_ns: int | None = None
        self._frames_sent = 0

    def admits(self, now_ns: int, frames_sent: int, has_calls: bool) -> bool:
        if frames_sent != self._frames_sent:
            self._frames_sent = frames_sent
            self._strikes = 0
            self._last_ns = None
        last_ns, self._last_ns = self._last_ns, now_ns
        idle = not has_calls and not self._limits.keepalive_without_calls
        interval_ns = _IDLE_PING_INTERVAL_NS if idle else self._limits.ping_interval_ns
        if last_ns is None or now_ns >= last_ns + interval_ns:
            return True
        self._strikes += 1
        return self._limits.ping_strikes == 0 or self._strikes <= self._limits.ping_strikes
