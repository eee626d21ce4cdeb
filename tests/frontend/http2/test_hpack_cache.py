from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode
from clockwork_triton.frontend.http2.head import Field, RequestHead, parse_head
from clockwork_triton.frontend.http2.hpack_cache import HeaderDecoder

REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), ("content-type", "application/grpc")]


class Parser:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, fields: list[Field]) -> RequestHead:
        self.calls += 1
        return parse_head(fields, {}, 10_000)


def literal(name: bytes, value: bytes, first: int = 0x00) -> bytes:
    return bytes((first, len(name))) + name + bytes((len(value),)) + value


def test_a_repeated_block_is_parsed_once() -> None:
    parser, encoder = Parser(), hpack.Encoder()
    decoder = HeaderDecoder(parser, 10_000)
    decoder.head(encoder.encode(REQUEST))
    block = encoder.encode(REQUEST)
    assert min(block) >= 0x80
    assert block not in decoder.known
    head = decoder.head(block)
    assert decoder.known[block] is head
    assert head.path == b"/a/b"
    assert parser.calls == 2


def test_a_change_of_the_table_forgets_what_blocks_meant() -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(Parser(), 10_000)
    decoder.head(encoder.encode(REQUEST))
    block = encoder.encode(REQUEST)
    decoder.head(block)
    decoder.fields(encoder.encode([("new", "field")]))
    assert decoder.known == {}
    # The same bytes mean other fields now.
    assert decoder.fields(block) != [(name.encode(), value.encode()) for name, value in REQUEST]


@pytest.mark.parametrize("first", [0x00, 0x10])
def test_literals_that_are_not_indexed_change_nothing(first: int) -> None:
    encoder = hpack.Encoder()
    decoder = HeaderDecoder(Parser(), 10_000)
    decoder.head(encoder.encode(REQUEST))
    usual = encoder.encode(REQUEST)
    decoder.head(usual)
    block = usual + literal(b"request-id", b"17", first) + bytes((first | 4, 2)) + b"/x"
    fields = decoder.fields(block)
    assert fields[-2:] == [(b"request-id", b"17"), (b":path", b"/x")]
    assert usual in decoder.known


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",
        b"\xff",
        b"\xfe",
        b"\x00",
        b"\x00\x05a",
        b"\x00\x01a",
        b"\x00\x01a\x05b",
        b"\x04",
        b"\x10\x00\x85a",
    ],
)
def test_malformed_blocks(block: bytes) -> None:
    with pytest.raises(ConnectionFault) as caught:
        HeaderDecoder(Parser(), 10_000).fields(block)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


names = st.sampled_from(["a", "request-id", ":path", "x" * 130, "content-type"])
values = st.one_of(st.text("abc019~ ", max_size=20), st.just("v" * 200), st.just(""))


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(names, values, st.booleans()), max_size=6), st.booleans()), max_size=12
    )
)
def test_it_decodes_as_the_library_does(blocks: list[tuple[list[tuple[str, str, bool]], bool]]) -> None:
    encoder, reference = hpack.Encoder(), hpack.Decoder()
    decoder = HeaderDecoder(Parser(), 100_000)
    for fields, huffman in blocks:
        chosen = [
            hpack.HeaderTuple(name, value) if indexing else hpack.NeverIndexedHeaderTuple(name, value)
            for name, value, indexing in fields
        ]
        block = encoder.encode(chosen, huffman=huffman)
        expected = [(bytes(name), bytes(value)) for name, value in reference.decode(block, raw=True)]
        assert decoder.fields(block) == expected
