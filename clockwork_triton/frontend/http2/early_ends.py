"""Streams that ended before their client had ended them."""

from __future__ import annotations

_REMEMBERED = 512


class EarlyEnds:
    """What the client still sends on these is in flight and no error. The oldest are forgotten."""

    def __init__(self) -> None:
        self._ids: dict[int, None] = {}
        self._forgotten = 0

    def add(self, stream_id: int) -> None:
        self._ids[stream_id] = None
        if len(self._ids) > _REMEMBERED:
            oldest = next(iter(self._ids))
            del self._ids[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def may_hold(self, stream_id: int) -> bool:
        return stream_id in self._ids or stream_id <= self._forgotten
