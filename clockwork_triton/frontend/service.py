"""GRPCInferenceService and grpc.health.v1 over the data plane, for any transport: bytes in, bytes out.

A transport looks a call's path up, hands over the serialised messages and the facts of the call, and turns a
ServerError into a status.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, NotHere, ServerError
from clockwork_triton.frontend import codec
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.handlers import Call, StreamHandler, UnaryHandler, restrict
from clockwork_triton.frontend.operations import Operations
from clockwork_triton.frontend.outcome import Cancellable, outcome_of
from clockwork_triton.frontend.parameters import timeout_of
from clockwork_triton.frontend.queries import Queries, ServerIdentity
from clockwork_triton.frontend.request import InferResponse
from clockwork_triton.frontend.restriction import Restriction
from clockwork_triton.frontend.stream import in_order
from clockwork_triton.inference import Buffer
from clockwork_triton.telemetry.stages import StageRecorder, Stages
from clockwork_triton.telemetry.trace import Trace

INFERENCE_SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"

_STREAM_LIMIT = 1024
"""How many requests of one stream may be under way before no more of it are read."""


Message = TypeVar("Message")
Reply = Sequence[Buffer]
"""A serialised message in pieces, one after the other."""


Done = Callable[[Reply | ServerError], None]
RpcElsewhere = Callable[[str, Buffer, Call], Awaitable[bytes]]
"""Has another process answer a call of a path. ServerError as its answer, or if it cannot be had."""


class _Forwarded:
    """An inference that another process is asked for."""

    def __init__(self, answer: Awaitable[bytes], done: Done) -> None:
        self._done = done
        self._answer = asyncio.ensure_future(answer)
        self._answer.add_done_callback(self._answered)

    def cancel(self) -> None:
        self._answer.cancel()

    def _answered(self, answer: asyncio.Future[bytes]) -> None:
        if answer.cancelled():
            return
        error = answer.exception()
        if error is None:
            self._done((answer.result(),))
        else:
            assert isinstance(error, ServerError)
            self._done(error)


class InferenceService:
    """The handlers of every RPC by its path, `/package.Service/Method`. They raise ServerError."""

    unary: dict[str, UnaryHandler]
    streams: Mapping[str, StreamHandler]
    reads_metadata: bool
    """Whether unary calls need their metadata too, which takes a transport time to find out."""

    def __init__(
        self,
        plane: DataPlane,
        identity: ServerIdentity,
        restrictions: Mapping[str, Restriction] | None = None,
        elsewhere: RpcElsewhere | None = None,
    ) -> None:
        """`restrictions`: by Triton's categories. `elsewhere`: who answers all but inferences, None if that
        is done here."""
        self._elsewhere = elsewhere
        self.plane = plane
        self.stages = StageRecorder(plane.clock)
        self._shared_memory = plane.facilities.shared_memory
        self.infer_path = f"/{INFERENCE_SERVICE}/ModelInfer"
        queries = Queries(plane, identity, time.time_ns() - plane.clock())
        unary: dict[str, UnaryHandler] = {}
        for rpc, answer in (queries.by_rpc() | Operations(plane).by_rpc()).items():
            request_class = getattr(service_pb2, f"{rpc}Request")
            unary[f"/{INFERENCE_SERVICE}/{rpc}"] = partial(_answer, request_class, answer)
        unary[f"/{INFERENCE_SERVICE}/ModelInfer"] = self.model_infer
        unary[f"/{HEALTH_SERVICE}/Check"] = partial(_answer, health_pb2.HealthCheckRequest, queries.health)
        if elsewhere is not None:
            unary = {path: partial(elsewhere, path) for path in unary}
            unary[self.infer_path] = self.model_infer
        self.unary = unary
        self.streams = {f"/{INFERENCE_SERVICE}/ModelStreamInfer": self.model_stream_infer}
        self.reads_metadata = bool(restrictions)
        if restrictions:
            restrict(unary, self.streams, restrictions)

    def begin_infer(self, data: Buffer, call: Call, done: Done) -> Cancellable:
        """A serialised ModelInferRequest to a serialised ModelInferResponse, without a task.

        Calls `done` once, perhaps before it returns, unless it raises or what it returns is cancelled before.
        """
        stages = Stages(call.arrival_ns, self.plane.clock())
        request = _parse(codec.parse_request, "ModelInferRequest", data)
        message = request.message
        try:
            return self.plane.begin(
                message.model_name,
                message.model_version,
                partial(codec.decode_request, request, self._shared_memory),
                stages,
                partial(self._infer_ended, call, stages, done),
                call.arrival_ns,
                call.deadline_ns,
                partial(timeout_of, message.parameters),
            )
        except NotHere:
            if self._elsewhere is None:
                raise
            return _Forwarded(self._elsewhere(self.infer_path, data, call), done)

    def _infer_ended(
        self,
        call: Call,
        stages: Stages,
        done: Done,
        outcome: InferResponse | ServerError,
    ) -> None:
        if isinstance(outcome, ServerError):
            done(outcome)
            return
        try:
            encoded = codec.encode_response(outcome)
        except ServerError as error:
            done(error)
            return
        done(encoded)
        self.stages.answered(stages)
        if outcome.trace is not None:
            self._end_trace(outcome.trace, call)

    async def model_infer(self, data: Buffer, call: Call) -> bytes:
        """As `begin_infer`, for those who wait."""
        return b"".join(await outcome_of(partial(self.begin_infer, data, call)))

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
                response = await self._infer(request, arrived)
                encoded = codec.encode_stream_response(response)
            except ServerError as error:
                if ends_on_error:
                    raise
                return codec.encode_stream_error(error, request)
            if response.trace is not None:
                self._end_trace(response.trace, arrived)
            return encoded

        async with aclosing(in_order(requests, run, _STREAM_LIMIT)) as responses:
            async for response in responses:
                yield response

    async def _infer(self, request: codec.ParsedRequest, call: Call) -> InferResponse:
        return await self.plane.infer(
            request.message.model_name,
            request.message.model_version,
            partial(codec.decode_request, request, self._shared_memory),
            call.arrival_ns,
            call.deadline_ns,
        )

    def _end_trace(self, trace: Trace, call: Call) -> None:
        """The transport's part is seen from here: a message arrives whole, and is sent once it is encoded."""
        now = self.plane.clock()
        trace.stamp("GRPC_WAITREAD_START", call.arrival_ns)
        trace.stamp("GRPC_WAITREAD_END", call.arrival_ns)
        trace.stamp("INFER_RESPONSE_COMPLETE", now)
        trace.stamp("GRPC_SEND_START", now)
        trace.stamp("GRPC_SEND_END", self.plane.clock())
        trace.end()


async def _answer(request_class: Any, answer: Callable[[Any], Any], data: Buffer, call: Call) -> bytes:
    request = _parse(request_class.FromString, request_class.DESCRIPTOR.name, data)
    response = answer(request)
    if isawaitable(response):
        response = await response
    encoded: bytes = response.SerializeToString()
    return encoded


def _parse(parse: Callable[[Buffer], Message], name: str, data: Buffer) -> Message:
    try:
        return parse(data)
    except DecodeError:
        raise ServerError(Code.INVALID_ARG, f"the request is not a valid {name} message") from None
