"""Which handler answers which path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.streaming import StreamCall
from clockwork_triton.frontend.http2.unary import AsyncUnaryCall, UnaryCall
from clockwork_triton.inference import Buffer


@dataclass(frozen=True)
class Route:
    """`handler` is of the type that `call_type` calls."""

    call_type: type[Call]
    handler: Callable[..., Any]


class Service:
    """A table from paths, as in b"/inference.GRPCInferenceService/ModelInfer", to handlers.

    Requests and replies are serialized messages. A request is bytes, or, where it arrived in pieces, a
    memoryview. Handlers raise RpcError to end a call with a status; any other exception is UNKNOWN.
    """

    def __init__(self) -> None:
        self.routes: dict[bytes, Route] = {}

    def callback(self, path: bytes, handler: Callable[[Buffer, UnaryCall], None]) -> None:
        """A unary method whose handler answers through the call: the cheapest kind, without a task."""
        self._add(path, Route(UnaryCall, handler))

    def unary(
        self, path: bytes, handler: Callable[[Buffer, AsyncUnaryCall], Awaitable[bytes | Sequence[Buffer]]]
    ) -> None:
        self._add(path, Route(AsyncUnaryCall, handler))

    def stream(self, path: bytes, handler: Callable[[StreamCall], Awaitable[None]]) -> None:
        self._add(path, Route(StreamCall, handler))

    def _add(self, path: bytes, route: Route) -> None:
        assert path.startswith(b"/"), path
        assert path not in self.routes, path
        self.routes[path] = route
