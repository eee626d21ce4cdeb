"""What calls know of the connection they came on."""

from __future__ import annotations

import asyncio
from typing import Protocol

from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.limits import Limits, RequestMemory
from clockwork_triton.frontend.http2.sender import Sender
from clockwork_triton.frontend.http2.stream import Stream


class Host(Protocol):
    arrival_ns: int
    clock: Clock
    limits: Limits
    memory: RequestMemory
    now_ns: int
    peer: str
    sender: Sender

    def grant(self, stream: Stream, size: int) -> None:
        """Lets the client send `size` bytes more on the stream."""

    def is_open(self, stream: Stream) -> bool:
        """The stream's end has not been sent, nor has it been reset."""

    def linger(self, task: asyncio.Task[None]) -> None:
        """Counts a cancelled handler among the streams until it has ended."""
