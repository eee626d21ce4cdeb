"""Runs a request of more rows than one inference can hold: in parts, with one deadline, joined in order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod
from struct import unpack_from

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.response_cache import Outputs
from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine, InputData


async def infer_in_parts(
    engine: InferenceEngine,
    call: InferenceCall,
    largest: int,
    answers: list[InferenceAnswer],
    texts: Collection[int] = (),
) -> Outputs:
    """The joined outputs. `answers` receives the answer of every part that ran, whatever becomes of the rest.

    The first part to fail cancels the others, and its error is the request's. `texts`: the inputs that are
    BYTES.
    """
    parts = [asyncio.ensure_future(engine.infer(part)) for part in split(call, largest, texts)]
    try:
        done = await asyncio.gather(*parts)
    finally:
        for part in parts:
            part.cancel()
        ended = await asyncio.gather(*parts, return_exceptions=True)
        answers += [answer for answer in ended if isinstance(answer, InferenceAnswer)]
    tensors = tuple(b"".join(pieces) for pieces in zip(*(answer.outputs for answer in done), strict=True))
    if done[0].shapes is None:
        return Outputs(tensors)
    return Outputs(tensors, tuple(_joined(shapes) for shapes in zip(*map(_shapes, done), strict=True)))


def _shapes(answer: InferenceAnswer) -> tuple[tuple[int, ...], ...]:
    assert answer.shapes is not None
    return answer.shapes


def _joined(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape of the parts of an output, one after the other."""
    rest = {shape[1:] for shape in shapes}
    if len(rest) > 1:
        raise ServerError(Code.INTERNAL, f"the parts of an output do not go together: {list(shapes)}")
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def split(call: InferenceCall, largest: int, texts: Collection[int] = ()) -> Sequence[InferenceCall]:
    """As many full parts as there are, then what is left; no tensor is copied."""
    assert largest > 0
    starts = range(0, call.rows, largest)
    counts = [min(largest, call.rows - start) for start in starts]
    places = {index: _places(call, index) for index in texts}
    return [
        replace(
            call,
            rows=count,
            inputs=tuple(
                _text_rows(data, places[index], start, count)
                if index in places
                else _rows(data, call.rows, start, count)
                for index, data in enumerate(call.inputs)
            ),
            shapes=None if call.shapes is None else tuple((count, *shape[1:]) for shape in call.shapes),
        )
        for start, count in zip(starts, counts, strict=True)
    ]


def _places(call: InferenceCall, index: int) -> list[int]:
    """Where each row of a BYTES input begins, and where the last one ends."""
    assert call.shapes is not None
    data = call.inputs[index]
    assert isinstance(data, bytes | memoryview), "texts are never left in shared memory"
    places = [0]
    position = 0
    for _ in range(call.rows):
        for _ in range(prod(call.shapes[index][1:])):
            (length,) = unpack_from("<I", data, position)
            position += 4 + length
        places.append(position)
    return places


def _text_rows(data: InputData, places: Sequence[int], start: int, count: int) -> InputData:
    assert isinstance(data, bytes | memoryview)
    return memoryview(data)[places[start] : places[start + count]]


def _rows(data: InputData, rows: int, start: int, count: int) -> InputData:
    row_bytes, rest = divmod(len(data), rows)
    assert rest == 0, "only tensors of fixed-size rows can be split"
    if isinstance(data, bytes | memoryview):
        return memoryview(data)[start * row_bytes : (start + count) * row_bytes]
    return data.part(start * row_bytes, count * row_bytes)
