"""The `h2` library as a client: a strict implementation of the other end, under the test's control."""

from __future__ import annotations

import random

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from clockwork_triton.frontend.http2.limits import Limits
from tests.frontend.http2.fakes import REQUEST, Client, message
from tests.frontend.http2.services import HELD, Echo


class H2Client:
    """h2 on one side, the connection on the other, and the bytes between them in pieces."""

    def __init__(self, echo: Echo, limits: Limits | None = None, piece: int | None = None) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.server = Client(echo.service, limits, greet=False)
        self.piece = piece
        self.replies: dict[int, bytearray] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.ended: set[int] = set()
        self.events: list[h2.events.Event] = []
        self._at = 0
        self._due: dict[int, bytes] = {}
        self.h2.initiate_connection()
        self.exchange()

    def exchange(self) -> None:
        """Carries bytes both ways until neither side has any more."""
        while True:
            sent = self.h2.data_to_send()
            if sent:
                self.server.send(sent, self.piece)
            received = bytes(self.server.transport.written[self._at :])
            self._at += len(received)
            if received:
                for event in self.h2.receive_data(received):
                    self._handle(event)
            self._push()
            if not sent and not received and not self.h2.data_to_send():
                break

    def call(self, stream_id: int, content: bytes, path: str = "/test.Echo/Callback") -> None:
        headers = [(":path", path) if name == ":path" else (name, value) for name, value in REQUEST]
        self.h2.send_headers(stream_id, headers)
        self._due[stream_id] = message(content)
        self.exchange()

    def reply(self, stream_id: int) -> bytes:
        assert stream_id in self.ended
        return bytes(self.replies[stream_id])[5:]

    def _push(self) -> None:
        """Sends what the windows allow of the requests that are due."""
        for stream_id, due in list(self._due.items()):
            window = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            piece = due[:window]
            if not piece:
                continue
            self._due[stream_id] = due[len(piece) :]
            ended = not self._due[stream_id]
            self.h2.send_data(stream_id, piece, end_stream=ended)
            if ended:
                del self._due[stream_id]

    def _handle(self, event: h2.events.Event) -> None:
        self.events.append(event)
        if isinstance(event, h2.events.DataReceived):
            self.replies.setdefault(event.stream_id, bytearray()).extend(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers[event.stream_id] = {str(n): str(v) for n, v in event.headers}
        elif isinstance(event, h2.events.StreamEnded):
            self.ended.add(event.stream_id)


@pytest.mark.parametrize("piece", [None, 1, 7])
def test_calls_through_h2s_own_windows(piece: int | None) -> None:
    client = H2Client(Echo(), piece=piece)
    contents = [random.Random(n).randbytes(n * 997 % 40_000) for n in range(12)]
    for number, content in enumerate(contents):
        client.call(2 * number + 1, content)
    for number, content in enumerate(contents):
        assert client.reply(2 * number + 1) == content
        assert client.trailers[2 * number + 1] == {"grpc-status": "0"}


def test_a_message_larger_than_all_windows() -> None:
    content = random.Random(1).randbytes(3_000_000)
    client = H2Client(Echo(), Limits(stream_window=65_535, connection_window=65_535, frame_bytes=20_000))
    client.call(1, content)
    assert client.reply(1) == content


def test_settings_pings_and_resets() -> None:
    echo = Echo()
    client = H2Client(echo)
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 5})
    client.h2.ping(b"12345678")
    client.exchange()
    assert any(isinstance(event, h2.events.PingAckReceived) for event in client.events)
    assert any(isinstance(event, h2.events.SettingsAcknowledged) for event in client.events)
    client.call(1, b"a longer reply than one window")
    assert client.reply(1) == b"a longer reply than one window"
    client.call(3, b"x", HELD)
    client.h2.reset_stream(3, 8)
    client.exchange()
    assert echo.cancelled == 1


def test_a_smaller_header_table() -> None:
    client = H2Client(Echo())
    client.call(1, b"x")
    for size in (0, 200, 4096):
        client.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: size})
        client.exchange()
        stream_id = client.h2.get_next_available_stream_id()
        client.call(stream_id, b"y")
        client.call(stream_id + 2, b"z")
        assert client.reply(stream_id) == b"y"
        assert client.reply(stream_id + 2) == b"z"


def test_interleaved_uploads() -> None:
    client = H2Client(Echo(), Limits(stream_window=65_535))
    contents = {stream_id: random.Random(stream_id).randbytes(200_000) for stream_id in range(1, 21, 2)}
    for stream_id, content in contents.items():
        headers = list(REQUEST)
        client.h2.send_headers(stream_id, headers)
        client._due[stream_id] = message(content)
    client.exchange()
    for stream_id, content in contents.items():
        assert client.reply(stream_id) == content
