"""The few pieces of the protobuf wire format that the hot path writes by itself."""

from __future__ import annotations

from functools import lru_cache

_LENGTH_DELIMITED = 2


def varint(value: int) -> bytes:
    """A base-128 varint; `value` is not negative."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@lru_cache(maxsize=4096)
def header(field: int, size: int) -> bytes:
    """What stands before the `size` bytes of a string, bytes or message field."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(size)
