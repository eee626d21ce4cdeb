"""How the tensors of a model that is not compiled lie in an I/O slot: records, one after the other.

A compiled model's tensors have places that the manifest fixes; a model on a host runtime takes and makes
tensors of any size. So an INFER's slot says itself what is in it: the requests of the batch, each a record of
its input tensors, and behind them, in the same order, what became of each: its output tensors or an error.

Everything is in 8-byte little-endian integers but the data, which is padded to a multiple of 64:

    slot      where the answers begin, number of requests, records of the requests, records of the answers
    record    number of tensors, tensors; or -1, a text: there are no tensors, and that is why
    tensor    number of dimensions, dimensions, bytes of data, padding, data
    text      bytes of UTF-8, padding, the text
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

from clockwork_triton.inference import InputData

_ALIGNMENT = 64
_NUMBER = Struct("<q")
_HEADER_BYTES = 16
_NO_TENSORS = -1

Shape = tuple[int, ...]


class SlotFull(Exception):
    """What is to be written does not fit the slot. Nothing of it counts as written."""


@dataclass(frozen=True)
class Tensor:
    """`data`: row-major; BYTES elements each behind their length in four bytes."""

    shape: Shape
    data: InputData


Record = Sequence[Tensor] | str
"""The tensors of a request or an answer; or why there are none."""


class RecordWriter:
    """Writes records from `position` on. `view` is the whole slot."""

    def __init__(self, view: memoryview, position: int = _HEADER_BYTES) -> None:
        self._view = view
        self.position = position

    def write(self, record: Record) -> None:
        """SlotFull where it does not fit; then the next one may be written in its place."""
        begin = self.position
        try:
            if isinstance(record, str):
                self._number(_NO_TENSORS)
                self._data(record.encode())
                return
            self._number(len(record))
            for tensor in record:
                self._number(len(tensor.shape))
                for dimension in tensor.shape:
                    self._number(dimension)
                self._data(tensor.data)
        except SlotFull:
            self.position = begin
            raise

    def finish_requests(self, count: int) -> None:
        """Everything written so far are `count` requests; their answers begin behind them."""
        _NUMBER.pack_into(self._view, 0, self.position)
        _NUMBER.pack_into(self._view, 8, count)

    def _number(self, value: int) -> None:
        if self.position + 8 > len(self._view):
            raise SlotFull
        _NUMBER.pack_into(self._view, self.position, value)
        self.position += 8

    def _data(self, data: InputData) -> None:
        self._number(len(data))
        begin = _aligned(self.position)
        end = begin + len(data)
        if end > len(self._view):
            raise SlotFull
        if isinstance(data, bytes | memoryview):
            self._view[begin:end] = data
        else:
            data.read_into(self._view[begin:end])
        self.position = _aligned(end)


class RecordReader:
    """Reads records from `position` on; the data of their tensors are views of the slot."""

    def __init__(self, view: memoryview, position: int = _HEADER_BYTES) -> None:
        self._view = view
        self._position = position

    def read(self) -> Record:
        count = self._number()
        if count == _NO_TENSORS:
            return bytes(self._data()).decode(errors="replace")
        return [self._tensor() for _ in range(count)]

    def _tensor(self) -> Tensor:
        shape = tuple(self._number() for _ in range(self._number()))
        return Tensor(shape, self._data())

    def _number(self) -> int:
        (value,) = _NUMBER.unpack_from(self._view, self._position)
        self._position += 8
        return int(value)

    def _data(self) -> memoryview:
        length = self._number()
        begin = _aligned(self._position)
        self._position = _aligned(begin + length)
        return self._view[begin : begin + length]


def requests_in(view: memoryview) -> tuple[int, int]:
    """Where the answers of a slot begin, and how many requests it holds."""
    return int(_NUMBER.unpack_from(view, 0)[0]), int(_NUMBER.unpack_from(view, 8)[0])


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT
