"""The few pieces of the protobuf wire format that the hot path reads and writes by itself."""

from __future__ import annotations

from functools import lru_cache

from clockwork_triton.inference import Buffer

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
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


def take_out(data: Buffer, field: int) -> tuple[bytes, list[memoryview]] | None:
    """A serialised message without one of its bytes fields, and that field's values, which are not copied.

    None where the message is better left to protobuf: it is malformed, has groups, or so many fields that
    looking at each would take long.
    """
    view = memoryview(data)
    values: list[memoryview] = []
    rest: list[memoryview] = []
    position = 0
    try:
        for _ in range(_MAX_FIELDS):
            if position == len(data):
                return b"".join(rest), values
            start = position
            tag, position = _read_varint(data, position)
            if position - start > 5:
                return None
            kind = tag & 7
            if kind == _LENGTH_DELIMITED:
                size, begin = _read_varint(data, position)
                position = begin + size
            elif kind == _VARINT:
                _, position = _read_varint(data, position)
            elif kind in (_FIXED32, _FIXED64):
                position += 4 if kind == _FIXED32 else 8
            else:
                return None
            if position > len(data):
                return None
            if kind == _LENGTH_DELIMITED and tag >> 3 == field:
                values.append(view[begin:position])
            else:
                rest.append(view[start:position])
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
