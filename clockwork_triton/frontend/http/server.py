"""The HTTP application behind uvicorn, inside the event loop that is there already."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn

from clockwork_triton.frontend.http.app import HttpApp
from clockwork_triton.frontend.http.protocol import BoundedProtocol

_KEEP_ALIVE_S = 300


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to the process, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class HttpServer:
    """Made, started and stopped in the event loop it runs in."""

    def __init__(self, app: HttpApp) -> None:
        self._app = app
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Listens and returns the port, chosen by the system if 0 was given. OSError if it cannot be had."""
        listening = _bind(host, port, reuse_port)
        config = uvicorn.Config(
            cast(Any, self._app),
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        # A line for each piece of garbage would be a way to fill a disk.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Uvicorn(config)
        self._task = asyncio.create_task(self._server.serve([listening]))
        started = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait((self._task, started), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await self._task
        chosen: int = listening.getsockname()[1]
        return chosen

    async def stop(self, grace_s: float) -> None:
        """Takes no more requests; those under way have `grace_s` seconds to end."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace_s))
        self._server.should_exit = True
        await self._task


def _bind(host: str, port: int, reuse_port: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise OSError(f"cannot listen for HTTP on {host}:{port}: {error.strerror or error}") from error
    return listening
