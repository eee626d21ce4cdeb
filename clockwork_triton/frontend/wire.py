"""The few pieces of the protobuf wire format that the hot path reads and writes by itself."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from clockwork_triton.inference import Buffer

_LENGTH_DELIMITED = 2
_MAX_FIELDS = 256


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


class Split(NamedTuple):
    """A serialised message without two of its fields: `rest`, the value of the one (None if it is not there)
    and the values of the other, which are not copied."""

    rest: bytes
    one: bytes | None
    many: list[memoryview]


def split(data: Buffer, one: int, many: int) -> Split | None:
    """Takes two string, bytes or message fields out of a message: `one` that stands in it once at most, and
    one that may stand in it often.

    None where the message is better left to protobuf: it is malformed, has fields that are neither strings
    nor messages, or so many fields that looking at each would take long.
    """
    one_tag, many_tag = one << 3 | _LENGTH_DELIMITED, many << 3 | _LENGTH_DELIMITED
    view = memoryview(data)
    value: bytes | None = None
    values: list[memoryview] = []
    rest: list[memoryview] = []
    kept = position = 0
    end = len(data)
    try:
        for _ in range(_MAX_FIELDS):
            if position == end:
                rest.append(view[kept:end])
                return Split(b"".join(rest), value, values)
            start = position
            tag, size = data[start], data[start + 1]
            if tag > 0x7F or tag & 7 != _LENGTH_DELIMITED:
                return None
            position = start + 2
            if size > 0x7F:
                size, position = _read_varint(data, start + 1)
            begin = position
            position += size
            if position > end:
                return None
            if tag == many_tag:
                values.append(view[begin:position])
            elif tag == one_tag:
                if value is not None:
                    return None
                value = bytes(view[begin:position])
            else:
                continue
            if kept < start:
                rest.append(view[kept:start])
            kept = position
    except IndexError:
        pass
    return None


def _read_varint(data: Buffer, position: int) -> tuple[int, int]:
    """The value and the position after it. IndexError where it is cut off or too long."""
    value = data[position]
    if value < 0x80:
        return value, position + 1
    value &= 0x7F
    for place in range(1, 10):
        byte = data[position + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    raise IndexError("a varint has ten bytes at most")
