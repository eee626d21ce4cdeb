from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.compression import TooLarge, accepted_encoding, compress, decompress


@pytest.mark.parametrize("size", [0, 10, 100_000])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_compressed_can_be_read_again(size: int, encoding: str) -> None:
    data = bytes(i * i % 251 for i in range(size))
    packed = asyncio.run(compress([data[:5], data[5:]], encoding))
    assert (gzip.decompress if encoding == "gzip" else zlib.decompress)(packed) == data
    assert asyncio.run(decompress(packed, size)) == data


def test_bombs_stop_at_the_limit() -> None:
    bomb = zlib.compress(bytes(10_000_000))
    with pytest.raises(TooLarge):
        asyncio.run(decompress(bomb, 9_999_999))


@pytest.mark.parametrize(
    "data", [b"", b"neither", gzip.compress(b"x")[:-1], gzip.compress(b"x") + b"y", zlib.compress(b"x") * 2]
)
def test_what_is_not_one_whole_stream_is_refused(data: bytes) -> None:
    with pytest.raises(ServerError) as caught:
        asyncio.run(decompress(data, 100))
    assert caught.value.code is Code.INVALID_ARG


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip", "deflate"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("br, gzip;q=0.1", "gzip"),
        ("identity, gzip", "identity"),
        ("gzip;q=x, deflate", "deflate"),
        ("*", "identity"),
        ("gzip;q=0", "identity"),
    ],
)
def test_the_greatest_weight_is_taken(header: str, chosen: str) -> None:
    assert accepted_encoding(header) == chosen
