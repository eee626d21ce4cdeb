"""Runs a request of more rows than one inference can hold: in parts, with one deadline, joined in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from clockwork_triton.errors import ServerError
from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine, InputData

Outputs = tuple[bytes, ...]


class Parts:
    """The parts of one call under way.

    `done` is called once with the joined outputs, or with the error of the first part to fail, which cancels
    the others. `answers` holds the answer of every part that ran, whatever became of the rest.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        call: InferenceCall,
        largest: int,
        done: Callable[[Outputs | ServerError], None],
    ) -> None:
        self._engine = engine
        self._done = done
        self._of_part: dict[int, InferenceAnswer] = {}
        parts = split(call, largest)
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
            pieces = [answer.outputs for _, answer in sorted(self._of_part.items())]
            self._done(tuple(b"".join(tensors) for tensors in zip(*pieces, strict=True)))


def split(call: InferenceCall, largest: int) -> Sequence[InferenceCall]:
    """As many full parts as there are, then what is left; no tensor is copied."""
    assert largest > 0
    starts = range(0, call.rows, largest)
    counts = [min(largest, call.rows - start) for start in starts]
    return [
        call._replace(rows=count, inputs=tuple(_rows(data, call.rows, start, count) for data in call.inputs))
        for start, count in zip(starts, counts, strict=True)
    ]


def _rows(data: InputData, rows: int, start: int, count: int) -> InputData:
    row_bytes, rest = divmod(len(data), rows)
    assert rest == 0, "only tensors of fixed-size rows can be split"
    if isinstance(data, bytes | memoryview):
        return memoryview(data)[start * row_bytes : (start + count) * row_bytes]
    return data.part(start * row_bytes, count * row_bytes)
