from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.artifact.records import (
    Record,
    RecordReader,
    RecordWriter,
    SlotFull,
    Tensor,
    requests_in,
)

TENSORS = st.builds(Tensor, st.lists(st.integers(0, 9), max_size=3).map(tuple), st.binary(max_size=200))
RECORDS = st.one_of(st.lists(TENSORS, max_size=3), st.text(max_size=20))


def plain(record: Record) -> object:
    if isinstance(record, str):
        return record
    return [(tensor.shape, bytes(tensor.data)) for tensor in record]  # type: ignore[arg-type]


@given(st.lists(RECORDS, max_size=4), st.lists(RECORDS, max_size=4))
def test_what_is_written_is_read(requests: list[Record], answers: list[Record]) -> None:
    slot = memoryview(bytearray(1 << 16))
    writer = RecordWriter(slot)
    for record in requests:
        writer.write(record)
    writer.finish_requests(len(requests))
    position, count = requests_in(slot)
    assert count == len(requests)
    answering = RecordWriter(slot, position)
    for record in answers:
        answering.write(record)
    assert [plain(reader.read()) for reader in [RecordReader(slot)] for _ in requests] == [
        plain(record) for record in requests
    ]
    reader = RecordReader(slot, position)
    assert [plain(reader.read()) for _ in answers] == [plain(record) for record in answers]


@given(st.integers(16, 400))
def test_what_does_not_fit_leaves_room_for_why(size: int) -> None:
    slot = memoryview(bytearray(size))
    writer = RecordWriter(slot)
    with pytest.raises(SlotFull):
        writer.write([Tensor((1,), bytes(size))])
    assert writer.position == 16
    if size >= 256:
        writer.write("no room")
        assert RecordReader(slot).read() == "no room"
