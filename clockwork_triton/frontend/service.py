"""GRPCInferenceService and grpc.health.v1 over the data plane, for any transport: bytes in, bytes out.

A transport looks a call's path up, hands over the serialised messages and the facts of the call, and turns a
ServerError into a status.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend import codec
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.queries import Queries, ServerIdentity
from clockwork_triton.frontend.request import InferResponse
from clockwork_triton.frontend.stream import in_order
from clockwork_triton.inference import Buffer

INFERENCE_SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"

_STREAM_LIMIT = 1024
"""How many requests of one stream may be under way before no more of it are read."""


class Call(NamedTuple):
    """`arrival_ns`, and `deadline_ns` when the client stops waiting, are on the data plane's clock.

    `metadata`, keys in lower case, is only there for streams.
    """

    arrival_ns: int
    deadline_ns: int | None
    metadata: Sequence[tuple[str, str | bytes]] = ()


Message = TypeVar("Message")
UnaryHandler = Callable[[Buffer, Call], Awaitable[bytes]]
StreamHandler = Callable[[AsyncIterator[Buffer], Call], AsyncGenerator[bytes, None]]


class InferenceService:
    """The handlers of every RPC by its path, `/package.Service/Method`. They raise ServerError."""

    unary: Mapping[str, UnaryHandler]
    streams: Mapping[str, StreamHandler]

    def __init__(self, plane: DataPlane, identity: ServerIdentity) -> None:
        self.plane = plane
        queries = Queries(plane, identity, time.time_ns() - plane.clock())
        unary: dict[str, UnaryHandler] = {}
        for method in service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
            unary[f"/{INFERENCE_SERVICE}/{method.name}"] = partial(_unsupported, method.name)
        for rpc, query in queries.by_rpc().items():
            request_class = getattr(service_pb2, f"{rpc}Request")
            unary[f"/{INFERENCE_SERVICE}/{rpc}"] = partial(_answer, request_class, query)
        unary[f"/{INFERENCE_SERVICE}/ModelInfer"] = self.model_infer
        unary[f"/{HEALTH_SERVICE}/Check"] = partial(_answer, health_pb2.HealthCheckRequest, queries.health)
        stream = f"/{INFERENCE_SERVICE}/ModelStreamInfer"
        del unary[stream]
        self.unary = unary
        self.streams = {stream: self.model_stream_infer}

    async def model_infer(self, data: Buffer, call: Call) -> bytes:
        """A serialised ModelInferRequest to a serialised ModelInferResponse."""
        request = _parse(codec.parse_request, "ModelInferRequest", data)
        return codec.encode_response(await self._infer(request, call))

    async def model_stream_infer(
        self, requests: AsyncIterator[Buffer], call: Call
    ) -> AsyncGenerator[bytes, None]:
        """Answers in the order of the requests, each run from when it arrives.

        A request that fails is told so in its place and the stream goes on, unless the client has set
        `triton_grpc_error: true`: then the stream ends with the error as its status.
        """
        ends_on_error = ("triton_grpc_error", "true") in call.metadata

        async def run(data: Buffer) -> bytes:
            request = _parse(codec.parse_request, "ModelInferRequest", data)
            arrived = call._replace(arrival_ns=self.plane.clock())
            try:
                return codec.encode_stream_response(await self._infer(request, arrived))
            except ServerError as error:
                if ends_on_error:
                    raise
                return codec.encode_stream_error(error.message, request.message.id)

        async with aclosing(in_order(requests, run, _STREAM_LIMIT)) as responses:
            async for response in responses:
                yield response

    async def _infer(self, request: codec.ParsedRequest, call: Call) -> InferResponse:
        return await self.plane.infer(
            request.message.model_name,
            request.message.model_version,
            partial(codec.decode_request, request),
            call.arrival_ns,
            call.deadline_ns,
        )


async def _answer(request_class: Any, query: Callable[[Any], Any], data: Buffer, call: Call) -> bytes:
    request = _parse(request_class.FromString, request_class.DESCRIPTOR.name, data)
    response: bytes = query(request).SerializeToString()
    return response


async def _unsupported(rpc: str, data: Buffer, call: Call) -> bytes:
    raise ServerError(Code.UNSUPPORTED, f"{rpc} is not supported by this server")


def _parse(parse: Callable[[Buffer], Message], name: str, data: Buffer) -> Message:
    try:
        return parse(data)
    except DecodeError:
        raise ServerError(Code.INVALID_ARG, f"the request is not a valid {name} message") from None
