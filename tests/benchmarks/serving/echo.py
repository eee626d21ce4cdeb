"""A grpcio server for tests of clients: answers with the request reversed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

REFUSE, HANG = b"refuse", b"hang"
DETAILS = "Request timeout expired, 100 % of it: \u00fcber"


@contextlib.contextmanager
def echo(*options: tuple[str, int]) -> Iterator[tuple[str, grpc.Server]]:
    """Its address, and itself. It refuses REFUSE with UNAVAILABLE and DETAILS, and never answers HANG."""
    ended = threading.Event()

    def infer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if request == REFUSE:
            context.abort(grpc.StatusCode.UNAVAILABLE, DETAILS)
        if request == HANG:
            ended.wait()
        return request[::-1]

    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1), *options])
    handler = grpc.unary_unary_rpc_method_handler(infer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", server
    finally:
        ended.set()
        server.stop(None).wait()
