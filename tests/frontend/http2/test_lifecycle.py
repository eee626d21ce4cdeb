"""Keepalive, draining, idling and ageing, on a virtual clock."""

from __future__ import annotations

import pytest

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.status import Status
from tests.frontend.http2.fakes import Client
from tests.frontend.http2.services import HELD, Echo

SECOND_NS = 10**9


@pytest.fixture
def echo() -> Echo:
    return Echo()


PING = frames.ping(b"12345678")


def test_pings_before_their_time_are_borne_twice(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x", (":path", HELD))
    for _ in range(3):
        client.send(PING)
    assert client.goaway() is None
    client.send(PING)
    assert client.goaway() == (1, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")


def test_replies_forgive_pings(echo: Echo) -> None:
    client = Client(echo.service)
    for stream_id in range(1, 101, 2):
        client.send(PING * 3)
        client.call(stream_id, b"x")
    assert client.goaway() is None


def test_pings_in_time_are_no_strikes(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x", (":path", HELD))
    for _ in range(10):
        client.send(PING)
        client.clock.advance(client.limits.ping_interval_ns)
    assert client.goaway() is None


def test_without_calls_pings_must_be_two_hours_apart(echo: Echo) -> None:
    client = Client(echo.service)
    for _ in range(4):
        client.send(PING)
        client.clock.advance(client.limits.ping_interval_ns)
    assert client.goaway() is not None
    client = Client(echo.service, Limits(keepalive_without_calls=True, keepalive_ns=10**15))
    for _ in range(10):
        client.send(PING)
        client.clock.advance(client.limits.ping_interval_ns)
    assert client.goaway() is None


def pings(client: Client) -> int:
    return sum(frame.kind == "PING" and frame.flags == 0 for frame in client.received())


def test_a_silent_client_with_calls_is_asked_whether_it_lives(echo: Echo) -> None:
    limits = Limits(keepalive_ns=10 * SECOND_NS, keepalive_timeout_ns=2 * SECOND_NS)
    client = Client(echo.service, limits)
    client.clock.advance(100 * SECOND_NS)
    assert pings(client) == 0
    client.call(1, b"x", (":path", HELD))
    client.clock.advance(20 * SECOND_NS)
    assert pings(client) == 1
    assert client.transport.aborted
    assert client.limits.keepalive_timeout_ns == 2 * SECOND_NS


def test_a_client_that_answers_lives_on(echo: Echo) -> None:
    limits = Limits(keepalive_ns=10 * SECOND_NS, keepalive_timeout_ns=2 * SECOND_NS, pings_without_data=0)
    client = Client(echo.service, limits)
    client.call(1, b"x", (":path", HELD))
    for _ in range(200):
        client.clock.advance(SECOND_NS)
        for frame in client.take():
            if frame.kind == "PING" and frame.flags == 0:
                client.send(frames.ping(frame.payload, ack=True))
    assert not client.transport.aborted
    assert 15 <= pings(client) <= 20


def test_the_server_pings_no_more_than_allowed_without_data(echo: Echo) -> None:
    limits = Limits(keepalive_ns=10 * SECOND_NS, keepalive_without_calls=True)
    client = Client(echo.service, limits)
    for second in range(100):
        client.clock.advance(SECOND_NS)
        for frame in client.take():
            if frame.kind == "PING":
                client.send(frames.ping(frame.payload, ack=True))
        if second == 80:
            client.call(1, b"x")
    assert pings(client) == 3


def test_traffic_is_a_sign_of_life(echo: Echo) -> None:
    client = Client(echo.service, Limits(keepalive_ns=10 * SECOND_NS))
    client.call(1, b"x", (":path", HELD))
    for stream_id in range(3, 43, 2):
        client.clock.advance(9 * SECOND_NS)
        client.call(stream_id, b"x")
    assert pings(client) == 0


def acknowledge_drain(client: Client) -> None:
    ping = next(frame for frame in client.received() if frame.kind == "PING")
    client.send(frames.ping(ping.payload, ack=True))


def test_draining_takes_two_steps_and_loses_nothing(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"one", (":path", HELD))
    client.connection.drain()
    client.connection.drain()
    client.clock.turn()
    assert client.goaway() == (2**31 - 1, ErrorCode.NO_ERROR, b"")
    # Sent before the client had read of it: still served.
    client.call(3, b"three", (":path", HELD))
    acknowledge_drain(client)
    assert client.goaway() == (3, ErrorCode.NO_ERROR, b"")
    client.call(5, b"five", (":path", HELD))
    assert len(echo.held) == 2
    for _, call in echo.held:
        assert not client.transport.closed
        call.reply(b"done")
        client.clock.turn()
    assert client.answer(1).messages == client.answer(3).messages == [b"done"]
    assert client.transport.closed
    assert not client.transport.aborted


def test_a_client_that_does_not_acknowledge_is_drained_after_a_while(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x")
    client.connection.drain()
    client.clock.advance(client.limits.drain_ack_ns)
    assert client.goaway() == (1, ErrorCode.NO_ERROR, b"")
    assert client.transport.closed


def test_large_replies_are_finished_before_a_drained_connection_closes(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x" * 100_000)
    client.connection.drain()
    client.clock.advance(client.limits.drain_ack_ns)
    assert not client.transport.closed
    client.send(frames.window_update(0, 100_000) + frames.window_update(1, 100_000))
    assert client.answer(1).ended
    assert client.transport.closed


def test_a_connection_without_a_preface_is_simply_closed(echo: Echo) -> None:
    client = Client(echo.service, greet=False)
    client.connection.drain()
    assert client.transport.closed


def test_the_end_answers_what_is_left(echo: Echo) -> None:
    client = Client(echo.service)
    client.call(1, b"x", (":path", HELD))
    client.connection.drain()
    client.connection.end()
    answer = client.answer(1)
    assert answer.status == Status.UNAVAILABLE
    assert echo.cancelled == 1
    client.clock.advance(client.limits.linger_ns)
    assert client.transport.aborted


def test_an_idle_connection_is_drained(echo: Echo) -> None:
    client = Client(echo.service, Limits(idle_ns=10 * SECOND_NS))
    client.call(1, b"x", (":path", HELD))
    client.clock.advance(25 * SECOND_NS)
    assert client.goaway() is None
    echo.held[0][1].reply(b"y")
    client.clock.turn()
    client.call(3, b"x")
    client.clock.advance(9 * SECOND_NS)
    assert client.goaway() is None
    client.clock.advance(10 * SECOND_NS + client.limits.drain_ack_ns)
    assert client.goaway() is not None
    assert client.transport.closed


def test_an_old_connection_is_drained_then_ended(echo: Echo) -> None:
    client = Client(echo.service, Limits(age_ns=10 * SECOND_NS, age_grace_ns=20 * SECOND_NS))
    client.call(1, b"x", (":path", HELD))
    client.clock.advance(10 * SECOND_NS)
    assert client.goaway() == (2**31 - 1, ErrorCode.NO_ERROR, b"")
    client.clock.advance(19 * SECOND_NS)
    assert not client.answer(1).ended
    client.clock.advance(2 * SECOND_NS)
    assert client.answer(1).status == Status.UNAVAILABLE
    assert client.transport.aborted
