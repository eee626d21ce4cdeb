from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.frontend.http2.status import percent_encode


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        ("", b""),
        ("plain ~ text!", b"plain ~ text!"),
        ("50 %", b"50 %25"),
        ("a\nb", b"a%0Ab"),
        ("ü€", b"%C3%BC%E2%82%AC"),
    ],
)
def test_all_but_printable_ascii_is_escaped(message: str, encoded: bytes) -> None:
    assert percent_encode(message) == encoded


@given(st.text(max_size=300))
def test_it_can_be_undone(message: str) -> None:
    assert unquote(percent_encode(message).decode("ascii")) == message


@given(st.text(min_size=1, max_size=60), st.integers(2000, 6000))
def test_a_long_message_is_cut_between_escapes(piece: str, length: int) -> None:
    message = (piece * length)[:length]
    encoded = percent_encode(message)
    assert len(encoded) <= 4096
    assert b"%" not in encoded[-2:]
    assert message.startswith(unquote(encoded.decode("ascii")).rstrip("\ufffd")) or "\ufffd" in message
