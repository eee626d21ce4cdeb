"""gRPC on asyncio: listening sockets, and the connections behind them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable

from clockwork_triton.frontend.http2.clock import LoopClock
from clockwork_triton.frontend.http2.connection import Connection
from clockwork_triton.frontend.http2.limits import Limits, RequestMemory
from clockwork_triton.frontend.http2.service import Service

_READ_BYTES = 8 << 10
"""What one client can have done before the others' turn: some dozens of small requests. All but the beginning
of a large message is read in one piece all the same."""
_BACKLOG = 1024
"""Connections that may wait to be accepted."""
_ACCEPTED = 8
"""Of these in one turn of the event loop, which asyncio has no other name for than the backlog."""


class Server:
    """Serves `service` on the running event loop; `now_ns` is the monotonic clock of arrivals and deadlines.

    One read buffer serves all connections: each is done with it before the next one reads.
    """

    def __init__(
        self,
        service: Service,
        limits: Limits | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._service = service
        self._limits = limits or Limits()
        self._memory = RequestMemory(self._limits.request_memory)
        self._clock = LoopClock(asyncio.get_running_loop(), now_ns)
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._stopping = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def listen(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, reuse_port: bool = False
    ) -> int:
        """Returns the port, which is a free one if `port` is 0. Raises OSError."""
        listener = await asyncio.get_running_loop().create_server(
            self._connect,
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=self._handshake_s(tls),
            reuse_port=reuse_port or None,
            backlog=_ACCEPTED,
        )
        self._add(listener)
        bound = listener.sockets[0].getsockname()[1]
        assert isinstance(bound, int)
        return bound

    async def listen_on(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serves a socket that the caller has bound: a Unix one, or one that processes share."""
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        listener = await create(
            self._connect,
            sock=listening,
            ssl=tls,
            ssl_handshake_timeout=self._handshake_s(tls),
            backlog=_ACCEPTED,
        )
        self._add(listener)

    async def stop(self, grace_s: float | None) -> None:
        """Accepts no more connections and calls, waits for those under way, at most `grace_s` seconds, and
        answers the rest with UNAVAILABLE."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self._connections):
            connection.drain()
        try:
            await asyncio.wait_for(self._empty.wait(), grace_s)
        except TimeoutError:
            for connection in list(self._connections):
                connection.end()
            await self._empty.wait()
        self._clock.close()

    def _add(self, listener: asyncio.Server) -> None:
        self._listeners.append(listener)
        for listening in listener.sockets:
            with listening.dup() as own:
                own.listen(_BACKLOG)

    def _handshake_s(self, tls: ssl.SSLContext | None) -> float | None:
        return None if tls is None else self._limits.handshake_ns / 1e9

    def _connect(self) -> Connection:
        return Connection(
            self._service,
            self._limits,
            memory=self._memory,
            clock=self._clock,
            buffer=self._buffer,
            opened=self._opened,
            closed=self._closed,
        )

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        self._empty.clear()
        if self._stopping:
            connection.drain()

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
