"""Frames: a 4-byte little-endian length, then that many bytes."""

from __future__ import annotations

import struct

MAX_FRAME_BYTES = 1 << 20

_LENGTH = struct.Struct("<I")


class ChannelError(Exception):
    """The peer sent what is not a message of ours: the channel is of no more use."""


def frame(payload: bytes, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """`payload` as it goes over the channel. ValueError if the other side would refuse its size."""
    if not 0 < len(payload) <= max_bytes:
        raise ValueError(f"a frame holds 1 to {max_bytes} bytes, not {len(payload)}")
    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder:
    """Cuts a stream of bytes into the payloads of its frames, however the bytes arrive."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The payloads completed by `data`, in order. ChannelError if a length cannot be one of ours."""
        buffer = self._buffer
        size = len(data) - _LENGTH.size
        if not buffer and 0 < size <= self._max_bytes and _LENGTH.unpack_from(data)[0] == size:
            # Nearly always it is one frame.
            return [bytes(data[_LENGTH.size :])]
        buffer += data
        payloads = []
        begin = 0
        while len(buffer) - begin >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, begin)
            if not 0 < size <= self._max_bytes:
                raise ChannelError(f"a frame of {size} bytes, where 1 to {self._max_bytes} are allowed")
            end = begin + _LENGTH.size + size
            if len(buffer) < end:
                break
            payloads.append(bytes(buffer[begin + _LENGTH.size : end]))
            begin = end
        del buffer[:begin]
        return payloads

    @property
    def pending(self) -> int:
        """Bytes of a frame that has not arrived whole."""
        return len(self._buffer)
