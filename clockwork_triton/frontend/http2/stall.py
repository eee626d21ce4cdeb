"""Clients that take nothing of what they asked for."""

from __future__ import annotations

from collections.abc import Callable

from clockwork_triton.frontend.http2.alarm import Alarm
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.sender import Sender
from clockwork_triton.frontend.http2.stream import Stream


class StallWatch:
    """Gives up on a client that takes nothing: `stalled(None)` if that is the connection's whole output,
    `stalled(stream)` if it is what a stream has queued."""

    def __init__(
        self, clock: Clock, period_ns: int, sender: Sender, stalled: Callable[[Stream | None], None]
    ) -> None:
        self._period_ns = period_ns
        self._sender = sender
        self._stalled = stalled
        self._alarm = Alarm(clock, self._sweep)
        self._paused_since_sweep = False

    def watch(self) -> None:
        """To be called whenever something may have begun to wait."""
        if not self._alarm.is_set and (self._sender.paused or self._sender.queued):
            self._paused_since_sweep = False
            for stream in self._sender.queued.values():
                stream.moved = False
            self._alarm.set(self._period_ns)

    def resumed(self) -> None:
        self._paused_since_sweep = False

    def cancel(self) -> None:
        self._alarm.cancel()

    def _sweep(self) -> None:
        if self._sender.paused and self._paused_since_sweep:
            self._stalled(None)
            return
        self._paused_since_sweep = self._sender.paused
        for stream in list(self._sender.queued.values()):
            if not stream.moved and not self._sender.paused:
                self._stalled(stream)
            stream.moved = False
        if self._sender.paused or self._sender.queued:
            self._alarm.set(self._period_ns)
