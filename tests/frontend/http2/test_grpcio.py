"""grpcio's clients, whose core is the same as C++'s and every Triton client's."""

from __future__ import annotations

import asyncio
import os
import threading
from ast import literal_eval
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
import pytest

from clockwork_triton.frontend.http2.compression import Buffer
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.status import Status
from clockwork_triton.frontend.http2.streaming import StreamCall
from clockwork_triton.frontend.http2.unary import UnaryCall
from tests.frontend.http2.servers import Running, serving
from tests.frontend.http2.services import ASYNC, CALLBACK, FAILS, STREAM, Echo

SIZES = [0, 1, 100, 16_379, 16_384, 65_530, 65_536, 602_112, 5_000_000]
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
TIMEOUT_S = 60


class Service(Echo):
    """`waiting` is set when a call waits for the client to give up, `gone` when it has."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()
        self.gone = threading.Event()
        self.stream_gone = threading.Event()
        self.service.callback(b"/test.Echo/Waits", self.wait)
        self.service.unary(b"/test.Echo/Facts", self.facts)
        self.service.callback(b"/test.Echo/Packed", self.pack)
        self.service.stream(b"/test.Echo/Many", self.many)
        self.service.stream(b"/test.Echo/Breaks", self.breaks)

    def wait(self, request: Buffer, call: UnaryCall) -> None:
        call.on_cancel(self.gone.set)
        self.waiting.set()

    async def stream(self, call: StreamCall) -> None:
        try:
            await super().stream(call)
        finally:
            self.stream_gone.set()

    async def facts(self, request: Buffer, call: UnaryCall) -> bytes:
        remaining = call.time_remaining_ns()
        call.initial_metadata([("first", "1"), ("first-bin", b"\0\1")])
        call.trailing_metadata([("last", "2"), ("last-bin", b"\2\3")])
        return repr((call.metadata(), remaining, call.peer)).encode()

    def pack(self, request: Buffer, call: UnaryCall) -> None:
        call.compress_replies(1)
        call.reply(bytes(request))

    async def many(self, call: StreamCall) -> None:
        async for request in call:
            for number in range(int(bytes(request))):
                await call.write(b"%d" % number * 100)

    async def breaks(self, call: StreamCall) -> None:
        async for request in call:
            call.send(bytes(request))
            call.abort(Status.DATA_LOSS, "half way")
            return


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


@pytest.fixture(scope="module")
def server(service: Service) -> Iterator[Running]:
    with serving(service.service) as running:
        yield running


@pytest.fixture
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target, UNLIMITED) as channel:
        yield channel


def unary(channel: Any, path: str, request: bytes, **options: Any) -> Any:
    return channel.unary_unary(path)(request, timeout=TIMEOUT_S, **options)


@pytest.mark.parametrize("path", [CALLBACK, ASYNC])
@pytest.mark.parametrize("size", SIZES)
def test_messages_of_all_sizes(channel: grpc.Channel, path: str, size: int) -> None:
    content = os.urandom(size)
    assert unary(channel, path, content) == content


@pytest.mark.long
def test_a_message_of_100_mb(channel: grpc.Channel) -> None:
    content = os.urandom(1 << 20) * 100
    assert unary(channel, CALLBACK, content) == content


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("path", [CALLBACK, "/test.Echo/Packed"])
def test_compression(channel: grpc.Channel, path: str, compression: grpc.Compression) -> None:
    content = b"text " * 50_000
    assert unary(channel, path, content, compression=compression) == content


def test_statuses(channel: grpc.Channel) -> None:
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        with pytest.raises(grpc.RpcError) as caught:
            unary(channel, FAILS, code.name.encode())
        assert caught.value.code() is code
        assert caught.value.details() == "as asked: 100 % ü\n"
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "/test.Echo/Nothing", b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_metadata_and_deadline_arrive(channel: grpc.Channel) -> None:
    given = (("traceparent", "00-1-2-3"), ("raw-bin", b"\0\xff"))
    reply, call = channel.unary_unary("/test.Echo/Facts").with_call(b"", timeout=TIMEOUT_S, metadata=given)
    metadata, remaining, peer = literal_eval(reply.decode())
    assert [item for item in metadata if item in given] == list(given)
    # Clients round a timeout up, to few digits.
    assert 0 < remaining <= 1.1 * TIMEOUT_S * 10**9
    assert peer.startswith("ipv4:127.0.0.1:")
    assert ("first", "1") in call.initial_metadata()
    assert ("first-bin", b"\0\1") in call.initial_metadata()
    assert [tuple(item) for item in call.trailing_metadata()] == [("last", "2"), ("last-bin", b"\2\3")]


def test_a_deadline_ends_a_call(service: Service, channel: grpc.Channel) -> None:
    service.gone.clear()
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/test.Echo/Waits")(b"", timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.gone.wait(TIMEOUT_S)


def test_a_cancellation_reaches_the_handler(service: Service, channel: grpc.Channel) -> None:
    service.waiting.clear()
    service.gone.clear()
    future = channel.unary_unary("/test.Echo/Waits").future(b"")
    assert service.waiting.wait(TIMEOUT_S)
    future.cancel()
    assert service.gone.wait(TIMEOUT_S)


def test_a_stream_echoes(channel: grpc.Channel) -> None:
    messages = [os.urandom(n * n % 5000) for n in range(300)] + [os.urandom(3_000_000) for _ in range(3)]
    assert list(channel.stream_stream(STREAM)(iter(messages), timeout=TIMEOUT_S)) == messages


def test_a_stream_may_answer_as_often_as_it_likes(channel: grpc.Channel) -> None:
    replies = list(channel.stream_stream("/test.Echo/Many")(iter([b"0", b"2000", b"3"]), timeout=TIMEOUT_S))
    assert len(replies) == 2003


def test_a_stream_that_breaks_gives_what_it_had(channel: grpc.Channel) -> None:
    replies = channel.stream_stream("/test.Echo/Breaks")(iter([b"a", b"b", b"c"]), timeout=TIMEOUT_S)
    assert next(replies) == b"a"
    with pytest.raises(grpc.RpcError) as caught:
        next(replies)
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS


def test_a_stream_that_is_cancelled_ends_its_handler(service: Service, channel: grpc.Channel) -> None:
    service.stream_gone.clear()
    more = threading.Event()

    def requests() -> Iterator[bytes]:
        yield b"one"
        more.wait(TIMEOUT_S)

    call = channel.stream_stream(STREAM)(requests())
    assert next(call) == b"one"
    call.cancel()
    more.set()
    assert service.stream_gone.wait(TIMEOUT_S)


def test_many_calls_at_once_from_many_threads(channel: grpc.Channel) -> None:
    def work(seed: int) -> None:
        for n in range(50):
            content = bytes([seed]) * ((seed * 7919 + n * 104_729) % 100_000)
            assert unary(channel, CALLBACK, content) == content

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_asyncio_clients(service: Service, server: Running) -> None:
    async def run() -> None:
        async with grpc.aio.insecure_channel(server.target, UNLIMITED) as channel:
            contents = [bytes([n % 256]) * (n * 37 % 40_000) for n in range(500)]
            call = channel.unary_unary(CALLBACK)
            assert await asyncio.gather(*(call(content) for content in contents)) == contents
            stream = channel.stream_stream(STREAM)()
            for content in contents[:50]:
                await stream.write(content)
                assert await stream.read() == content
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(FAILS)(b"ABORTED")
            assert caught.value.code() is grpc.StatusCode.ABORTED
            service.waiting.clear()
            service.gone.clear()
            task = asyncio.ensure_future(channel.unary_unary("/test.Echo/Waits")(b""))
            await asyncio.to_thread(service.waiting.wait, TIMEOUT_S)
            task.cancel()
            assert await asyncio.to_thread(service.gone.wait, TIMEOUT_S)

    asyncio.run(run())


def test_clients_that_keep_alive_as_triton_users_do(server: Running) -> None:
    options = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 1_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(server.target, options) as channel:
        assert unary(channel, CALLBACK, b"x") == b"x"


def test_more_calls_than_streams_wait_their_turn(service: Service) -> None:
    with (
        serving(service.service, Limits(concurrent_streams=3)) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        call = channel.unary_unary(ASYNC)
        futures = [call.future(b"%d" % n, timeout=TIMEOUT_S) for n in range(100)]
        assert [future.result() for future in futures] == [b"%d" % n for n in range(100)]


def test_small_windows_and_frames_are_slow_but_right(service: Service) -> None:
    limits = Limits(stream_window=1000, connection_window=65_535, frame_bytes=16_384)
    with (
        serving(service.service, limits) as server,
        grpc.insecure_channel(server.target, UNLIMITED) as channel,
    ):
        content = os.urandom(1_000_000)
        assert unary(channel, CALLBACK, content) == content
        messages = [os.urandom(n * 100) for n in range(60)]
        assert list(channel.stream_stream(STREAM)(iter(messages), timeout=TIMEOUT_S)) == messages


def test_stopping_lets_calls_end(service: Service) -> None:
    with serving(service.service) as server, grpc.insecure_channel(server.target) as channel:
        service.held.clear()
        service.waiting.clear()
        waits = channel.unary_unary("/test.Echo/Waits").future(b"", timeout=TIMEOUT_S)
        assert service.waiting.wait(TIMEOUT_S)
        server.stop(grace_s=0.01)
        with pytest.raises(grpc.RpcError) as caught:
            waits.result()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the server is shutting down"


def test_stopping_an_idle_server_is_quick_and_polite(service: Service) -> None:
    with serving(service.service) as server, grpc.insecure_channel(server.target) as channel:
        assert unary(channel, CALLBACK, b"x") == b"x"
        server.stop(grace_s=TIMEOUT_S)
        with pytest.raises(grpc.RpcError) as caught:
            unary(channel, CALLBACK, b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
