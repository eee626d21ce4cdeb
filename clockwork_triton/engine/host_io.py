"""The batches of models that are not compiled, in an I/O slot: see `artifact.records`."""

from __future__ import annotations

from collections.abc import Sequence

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.host import write_test_batch
from clockwork_triton.artifact.records import (
    Record,
    RecordReader,
    RecordWriter,
    SlotFull,
    Tensor,
    requests_in,
)
from clockwork_triton.inference import InferenceCall

NO_ROOM = "the tensors of its batch do not fit an I/O slot"


def write_calls(
    slot: memoryview, manifest: Manifest, batch_size: int, calls: Sequence[InferenceCall]
) -> None:
    """Lays the calls of a batch into the slot; without any, as many test requests (a calibration)."""
    if not calls:
        write_test_batch(slot, manifest, batch_size)
        return
    # What is left behind the inputs is for the outputs.
    writer = RecordWriter(slot[: len(slot) // 2])
    for call in calls:
        try:
            writer.write(_inputs(manifest, call))
        except SlotFull:
            writer.write(NO_ROOM)
    writer.finish_requests(len(calls))


def read_answers(slot: memoryview) -> list[Record]:
    """What became of each request of the slot, in order; the tensors' data are views of it."""
    position, count = requests_in(slot)
    reader = RecordReader(slot, position)
    return [reader.read() for _ in range(count)]


def _inputs(manifest: Manifest, call: InferenceCall) -> list[Tensor]:
    batch = (call.rows,) if manifest.max_batch_size else ()
    return [
        Tensor(call.shapes[index] if call.shapes is not None else (*batch, *spec.shape), data)
        for index, (spec, data) in enumerate(zip(manifest.inputs, call.inputs, strict=True))
    ]
