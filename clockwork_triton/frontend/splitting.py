"""Runs a request of more rows than one inference can hold: in parts, with one deadline, joined in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine, InputData


async def infer_in_parts(
    engine: InferenceEngine, call: InferenceCall, largest: int, answers: list[InferenceAnswer]
) -> tuple[bytes, ...]:
    """The joined outputs. `answers` receives the answer of every part that ran, whatever becomes of the rest.

    The first part to fail cancels the others, and its error is the request's.
    """
    parts = [asyncio.ensure_future(engine.infer(part)) for part in split(call, largest)]
    try:
        done = await asyncio.gather(*parts)
    finally:
        for part in parts:
            part.cancel()
        ended = await asyncio.gather(*parts, return_exceptions=True)
        answers += [answer for answer in ended if isinstance(answer, InferenceAnswer)]
    return tuple(b"".join(pieces) for pieces in zip(*(answer.outputs for answer in done), strict=True))


def split(call: InferenceCall, largest: int) -> Sequence[InferenceCall]:
    """As many full parts as there are, then what is left; no tensor is copied."""
    assert largest > 0
    starts = range(0, call.rows, largest)
    counts = [min(largest, call.rows - start) for start in starts]
    return [
        replace(call, rows=count, inputs=tuple(_rows(data, call.rows, start, count) for data in call.inputs))
        for start, count in zip(starts, counts, strict=True)
    ]


def _rows(data: InputData, rows: int, start: int, count: int) -> InputData:
    row_bytes, rest = divmod(len(data), rows)
    assert rest == 0, "only tensors of fixed-size rows can be split"
    if isinstance(data, bytes | memoryview):
        return memoryview(data)[start * row_bytes : (start + count) * row_bytes]
    return data.part(start * row_bytes, count * row_bytes)
