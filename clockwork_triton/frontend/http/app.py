"""The ASGI application: bodies in, handlers, bodies out."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from clockwork_triton.errors import Code, NotHere, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http.controls import ControlHandlers
from clockwork_triton.frontend.http.exchange import HttpRequest, HttpResponse, error_response
from clockwork_triton.frontend.http.generate import Generation
from clockwork_triton.frontend.http.handlers import QueryHandlers
from clockwork_triton.frontend.http.inference import Inference, too_large
from clockwork_triton.frontend.http.routes import Routes, call
from clockwork_triton.frontend.queries import Queries, ServerIdentity
from clockwork_triton.frontend.restriction import Restriction

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

HttpElsewhere = Callable[[str, HttpRequest], Awaitable[HttpResponse]]
"""Has another process answer what came to a path. ServerError as its answer, or if it cannot be had."""

STATUS = {
    Code.INVALID_ARG: 400,
    Code.NOT_FOUND: 404,
    Code.UNAVAILABLE: 503,
    Code.UNSUPPORTED: 501,
    Code.INTERNAL: 500,
    Code.ALREADY_EXISTS: 400,
    Code.CANCELLED: 400,
    Code.UNKNOWN: 400,
}
MAX_BODY_BYTES = 1 << 26

_INFERENCE = "inference"
_MAX_CHUNKS = 1 << 16
_DRAINED = 8
"""How many times the limit of a body is read and thrown away, so that its sender gets to see the answer."""


class _BodyTooLarge(Exception):
    pass


class HttpApp:
    """`max_bytes`: the longest body. `restrictions`: by Triton's categories. `elsewhere`: who answers all but
    inferences, None if that is done here."""

    def __init__(
        self,
        plane: DataPlane,
        identity: ServerIdentity,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        restrictions: Mapping[str, Restriction] | None = None,
        elsewhere: HttpElsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self.plane = plane
        self._max_bytes = max_bytes
        self._restrictions = restrictions or {}
        self._routes = Routes()
        queries = Queries(plane, identity, time.time_ns() - plane.clock())
        QueryHandlers(plane, queries).add_to(self._routes)
        ControlHandlers(plane).add_to(self._routes)
        inference = Inference(plane, max_bytes)
        self._routes.add("/v2/models/{m}{v}/infer", "POST", _INFERENCE, inference.infer)
        generation = Generation(plane)
        self._routes.add("/v2/models/{m}{v}/generate", "POST", _INFERENCE, generation.generate)
        self._routes.add("/v2/models/{m}{v}/generate_stream", "POST", _INFERENCE, generation.stream)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """ASGI's entry, for scopes of type http."""
        assert scope["type"] == "http", scope["type"]
        begin_ns = self.plane.clock()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            body = await self._read_body(headers, receive)
        except _BodyTooLarge:
            error = too_large(self._max_bytes)
            response = error_response(STATUS[error.code], error.message, {"connection": "close"})
        else:
            if body is None:
                return
            request = HttpRequest(scope["method"], headers, body, begin_ns, self.plane.clock())
            response = await self.answer(scope["path"], request)
        await _send(response, send)

    async def answer(self, path: str, request: HttpRequest) -> HttpResponse:
        """Never raises: what goes wrong is a response too."""
        found = self._routes.find(path)
        if self._elsewhere is not None and (found is None or found.route.category != _INFERENCE):
            try:
                return await self._elsewhere(path, request)
            except ServerError as error:
                return error_response(STATUS[error.code], error.message)
        if found is None:
            return error_response(404, "Not Found")
        restriction = self._restrictions.get(found.route.category)
        if restriction is not None and request.headers.get(restriction.header.lower()) != restriction.value:
            return error_response(403, f"This API is restricted, expecting header '{restriction.header}'")
        if request.method not in found.route.methods:
            return error_response(405, "Method Not Allowed")
        try:
            try:
                return await call(found, request)
            except NotHere:
                if self._elsewhere is None:
                    raise
                return await self._elsewhere(path, request)
        except ServerError as error:
            return error_response(STATUS[error.code], error.message)
        except Exception:
            log.exception("%s %s failed unexpectedly", request.method, path)
            return error_response(500, "internal error")

    async def _read_body(self, headers: Mapping[str, str], receive: Receive) -> bytes | None:
        """None if the client went away. _BodyTooLarge once it is known."""
        length = headers.get("content-length", "")
        expected = int(length) if length.isascii() and length.isdigit() else 0
        chunks: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if max(size, expected) > self._max_bytes or len(chunks) >= _MAX_CHUNKS:
                if more and size < _DRAINED * self._max_bytes:
                    chunks.clear()
                    continue
                raise _BodyTooLarge
            if chunk:
                chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _send(response: HttpResponse, send: Send) -> None:
    parts = response.parts
    headers = [(b"content-type", response.content_type.encode())]
    headers.append((b"content-length", str(sum(map(len, parts))).encode()))
    headers += [(name.encode(), value.encode()) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": parts[-1] if parts else b""})
