"""POST .../infer."""

from __future__ import annotations

import re

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http.compression import (
    ENCODINGS,
    TooLarge,
    accepted_encoding,
    compress,
    decompress,
)
from clockwork_triton.frontend.http.exchange import HttpRequest, HttpResponse, error_response
from clockwork_triton.frontend.http.infer_request import Form, HttpInferRequest, read_infer_request
from clockwork_triton.frontend.http.infer_response import HEADER_LENGTH, write_infer_response
from clockwork_triton.frontend.http.raw_request import read_raw_request
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.request import InferRequest
from clockwork_triton.telemetry.trace import Trace


class Inference:
    """`max_bytes`: of a request's body, after decompression too."""

    def __init__(self, plane: DataPlane, max_bytes: int) -> None:
        self._plane = plane
        self._max_bytes = max_bytes

    async def infer(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        """ServerError as the data plane's, or for what is wrong with the body."""
        model = self._plane.model(name, version)
        encoding = request.headers.get("content-encoding", "")
        if encoding not in ("", "identity", *ENCODINGS):
            return error_response(
                501, "Unsupported compression type", {"accept-encoding": ", ".join(ENCODINGS)}
            )
        body = request.body
        if encoding in ENCODINGS:
            try:
                body = await decompress(body, self._max_bytes)
            except TooLarge:
                raise too_large(self._max_bytes) from None
        header_length = _header_length(request, len(body))
        read: HttpInferRequest | None = None

        def decode() -> InferRequest:
            nonlocal read
            read = self._read(memoryview(body), header_length, model)
            return read.request

        response = await self._plane.infer(name, version, decode, request.arrival_ns)
        completed_ns = self._plane.clock()
        forms, form = ({}, Form.JSON) if read is None else (read.forms, read.form)
        reply = write_infer_response(response, forms, form)
        accepted = accepted_encoding(request.headers.get("accept-encoding", ""))
        if accepted != "identity":
            packed = await compress(list(reply.parts), accepted)
            reply = HttpResponse(
                200, (packed,), reply.content_type, {**reply.headers, "content-encoding": accepted}
            )
        if response.trace is not None:
            self._end_trace(response.trace, request, completed_ns)
        return reply

    def _read(self, body: memoryview, header_length: int, model: PreparedModel) -> HttpInferRequest:
        if header_length == 0:
            return read_raw_request(body, model)
        memory = self._plane.facilities.shared_memory
        return read_infer_request(body, header_length, model.served.name, memory)

    def _end_trace(self, trace: Trace, request: HttpRequest, completed_ns: int) -> None:
        now = self._plane.clock()
        trace.stamp("HTTP_RECV_START", request.begin_ns)
        trace.stamp("HTTP_RECV_END", request.arrival_ns)
        trace.stamp("INFER_RESPONSE_COMPLETE", completed_ns)
        trace.stamp("HTTP_SEND_START", now)
        trace.stamp("HTTP_SEND_END", self._plane.clock())
        trace.end()


def too_large(limit: int) -> ServerError:
    return ServerError(
        Code.INVALID_ARG,
        # Triton has called it a value, and a size: clients look for either.
        "Request content size exceeds the maximum allowed value: "
        f"it exceeds the maximum allowed input size of {limit} bytes. "
        "Use --http-max-input-size to increase the limit.",
    )


def _header_length(request: HttpRequest, body_length: int) -> int:
    """Of the JSON in a body. Reads numbers as C's atoi does."""
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return body_length
    match = re.match(r"\s*([+-]?\d{1,18})", text, re.ASCII)
    length = int(match[1]) if match else 0
    if not 0 <= length <= body_length:
        raise ServerError(
            Code.INVALID_ARG,
            f"inference header size should be in range (0, {body_length}), got: {text}",
        )
    return length
