"""Connections to one server, taken in turn; one that breaks is replaced."""

from __future__ import annotations

import asyncio
import contextlib

from clockwork_triton.bench import wire
from clockwork_triton.bench.models import BenchError

INFER = "/inference.GRPCInferenceService/ModelInfer"
_PATIENCE_S = 10.0
_RETRY_S = 0.2


class Pool:
    """To be entered with `async with`: BenchError if the server cannot be reached."""

    def __init__(self, address: str, count: int) -> None:
        self._address = address
        self._count = count
        self._keeper: asyncio.Task[None] | None = None
        self._retired: list[wire.Connection] = []
        self.connections: list[wire.Connection] = []

    async def __aenter__(self) -> Pool:
        try:
            for _ in range(self._count):
                self.connections.append(await self._connect())
        except OSError as error:
            self._close()
            raise BenchError(f"{self._address}: {error or 'no settings came'}") from None
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        self._close()
        # So that what closing causes happens before the loop ends.
        await asyncio.sleep(0)

    def at(self, place: int) -> wire.Connection:
        """The one at that place, counted around, or the next that works, if any does."""
        for offset in range(self._count):
            connection = self.connections[(place + offset) % self._count]
            if not connection.broken:
                break
        return connection

    def flush(self) -> None:
        for connection in self.connections:
            connection.flush()

    def _close(self) -> None:
        for connection in (*self.connections, *self._retired):
            connection.close()

    async def _connect(self) -> wire.Connection:
        connection = await asyncio.wait_for(wire.connect(self._address, INFER), _PATIENCE_S)
        await asyncio.wait_for(connection.settled(), _PATIENCE_S)
        return connection

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            for place, connection in enumerate(self.connections):
                if connection.broken:
                    with contextlib.suppress(OSError, asyncio.TimeoutError):
                        self.connections[place] = await self._connect()
                        self._retired.append(connection)
