from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.transport.framing import ChannelError, FrameDecoder, frame


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 60)))
def test_payloads_come_out_as_they_went_in_however_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    decoder = FrameDecoder()
    received = []
    for cut in cuts:
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    received += decoder.feed(stream)
    assert received == payloads
    assert decoder.pending == 0


def test_part_of_a_frame_is_pending() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(frame(b"abc")[:5]) == []
    assert decoder.pending == 5


@pytest.mark.parametrize("header", [b"\x00\x00\x00\x00", b"\x0b\x00\x00\x00", b"GET / HTTP/1.1\r\n"])
def test_a_length_that_cannot_be_is_refused_before_its_bytes_arrive(header: bytes) -> None:
    with pytest.raises(ChannelError, match="1 to 10"):
        FrameDecoder(max_bytes=10).feed(header)


@pytest.mark.parametrize("size", [0, 11])
def test_a_payload_that_the_peer_would_refuse_is_not_framed(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        frame(bytes(size), max_bytes=10)
