from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import grpc
import pytest

from clockwork_triton.frontend.http2.tls import server_context
from tests.frontend.http2.certificates import Authority
from tests.frontend.http2.servers import serving
from tests.frontend.http2.services import CALLBACK, STREAM, Echo

TIMEOUT_S = 60
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def read(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def test_tls(authority: Authority) -> None:
    certificate, key = authority.issue("server")
    credentials = grpc.ssl_channel_credentials(read(authority.certificate))
    with (
        serving(Echo().service, tls=server_context(certificate, key)) as server,
        grpc.secure_channel(server.target, credentials, UNLIMITED) as channel,
    ):
        for size in (0, 100, 100_000, 3_000_000):
            content = os.urandom(size)
            assert channel.unary_unary(CALLBACK)(content, timeout=TIMEOUT_S) == content
        messages = [os.urandom(n * 100) for n in range(50)]
        assert list(channel.stream_stream(STREAM)(iter(messages), timeout=TIMEOUT_S)) == messages


def test_mutual_tls_asks_for_the_clients_certificate(authority: Authority) -> None:
    certificate, key = authority.issue("server")
    client_certificate, client_key = authority.issue("client")
    context = server_context(certificate, key, str(authority.certificate))
    with serving(Echo().service, tls=context) as server:
        known = grpc.ssl_channel_credentials(
            read(authority.certificate), read(client_key), read(client_certificate)
        )
        with grpc.secure_channel(server.target, known) as channel:
            assert channel.unary_unary(CALLBACK)(b"x", timeout=TIMEOUT_S) == b"x"
        unknown = grpc.ssl_channel_credentials(read(authority.certificate))
        with grpc.secure_channel(server.target, unknown) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(CALLBACK)(b"x", timeout=TIMEOUT_S)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("offers", [[], ["http/1.1"]])
def test_clients_that_do_not_agree_on_h2_are_closed(authority: Authority, offers: list[str]) -> None:
    certificate, key = authority.issue("server")
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if offers:
        context.set_alpn_protocols(offers)
    with (
        serving(Echo().service, tls=server_context(certificate, key)) as server,
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.selected_alpn_protocol() is None
        assert secured.recv(100) == b""
