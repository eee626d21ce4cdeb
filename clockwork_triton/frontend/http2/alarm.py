"""One callback at one time to come."""

from __future__ import annotations

from collections.abc import Callable

from clockwork_triton.frontend.http2.clock import Clock, Timer


class Alarm:
    """One callback at one time to come, if any."""

    def __init__(self, clock: Clock, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._callback = callback
        self._timer: Timer | None = None

    @property
    def is_set(self) -> bool:
        return self._timer is not None

    def set(self, delay_ns: int) -> None:
        self.cancel()
        self._timer = self._clock.call_later(delay_ns, self._fire)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._callback()
