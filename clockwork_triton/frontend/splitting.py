"""Runs a request of more rows than one inference can hold: in parts, with one deadline, joined in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from math import prod
from struct import unpack_from

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.response_cache import Outputs
from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine, InputData


class Parts:
    """The parts of one call under way.

    `done` is called once with the joined outputs, or with the error of the first part to fail, which cancels
    the others. `answers` holds the answer of every part that ran, whatever became of the rest. `texts`: the
    inputs that are BYTES.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        call: InferenceCall,
        largest: int,
        done: Callable[[Outputs | ServerError], None],
        texts: Collection[int] = (),
    ) -> None:
        self._engine = engine
        self._done = done
        self._of_part: dict[int, InferenceAnswer] = {}
        parts = split(call, largest, texts)
        self._numbers = {
            place: engine.submit(part, partial(self._answered, place)) for place, part in enumerate(parts)
        }

    @property
    def answers(self) -> list[InferenceAnswer]:
        return list(self._of_part.values())

    def cancel(self) -> None:
        """Nobody waits for them any more."""
        for number in self._numbers.values():
            self._engine.cancel(number)
        self._numbers.clear()

    def _answered(self, place: int, outcome: InferenceAnswer | ServerError) -> None:
        del self._numbers[place]
        if isinstance(outcome, ServerError):
            self.cancel()
            self._done(outcome)
            return
        self._of_part[place] = outcome
        if not self._numbers:
            self._done(_joined([answer for _, answer in sorted(self._of_part.items())]))


def _joined(answers: Sequence[InferenceAnswer]) -> Outputs | ServerError:
    pieces = [answer.outputs for answer in answers]
    tensors = tuple(b"".join(pieces) for pieces in zip(*pieces, strict=True))
    if answers[0].shapes is None:
        return Outputs(tensors)
    shapes = []
    for of_output in zip(*(answer.shapes or () for answer in answers), strict=True):
        if len({shape[1:] for shape in of_output}) > 1:
            return ServerError(Code.INTERNAL, f"the parts of an output do not go together: {of_output}")
        shapes.append((sum(shape[0] for shape in of_output), *of_output[0][1:]))
    return Outputs(tensors, tuple(shapes))


def split(call: InferenceCall, largest: int, texts: Collection[int] = ()) -> Sequence[InferenceCall]:
    """As many full parts as there are, then what is left; no tensor is copied."""
    assert largest > 0
    starts = range(0, call.rows, largest)
    counts = [min(largest, call.rows - start) for start in starts]
    places = {index: _places(call, index) for index in texts}
    return [
        call._replace(
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
