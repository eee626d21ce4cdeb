"""A real server on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLContext

from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.server import Server
from clockwork_triton.frontend.http2.service import Service


class Running:
    def __init__(self, service: Service, limits: Limits | None, tls: SSLContext | None) -> None:
        self.port = 0
        self._service = service
        self._limits = limits
        self._tls = tls
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._started.wait(20)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop(self, grace_s: float | None = 0) -> None:
        if self._thread.is_alive():
            future = asyncio.run_coroutine_threadsafe(self.server.stop(grace_s), self._loop)
            future.result(20)
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(20)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self.server = Server(self._service, self._limits)
        self.port = await self.server.listen("127.0.0.1", 0, self._tls)
        self._started.set()
        await self._stopped.wait()


@contextmanager
def serving(
    service: Service, limits: Limits | None = None, tls: SSLContext | None = None
) -> Iterator[Running]:
    running = Running(service, limits, tls)
    try:
        yield running
    finally:
        running.stop()
