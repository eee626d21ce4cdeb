"""Runs a request of an ensemble: each step as soon as its tensors are there, all within one deadline."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.request import InferRequest, InferResponse, InputTensor
from clockwork_triton.frontend.response_cache import Outputs
from clockwork_triton.frontend.shared_memory import RegionPart
from clockwork_triton.inference import Buffer, InferenceAnswer, Moments
from clockwork_triton.repository.model import EnsembleStep, ServedModel

_NOWHEN = Moments(0, 0, 0, 0, 0)
# No execution of the engine has such a number.
_numbers = itertools.count(-1, -1)


class Running(Protocol):
    """A step under way."""

    def cancel(self) -> None: ...


class StepTimes(NamedTuple):
    """Where the time of a step went; all 0 where its answer was kept from another request."""

    queue_ns: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0
    moments: Moments = _NOWHEN


BeginStep = Callable[
    [str, str, InferRequest, int | None, Callable[[InferResponse | ServerError], None]], Running
]
"""Model, version, request, deadline, and who is told: as DataPlane.begin."""


class _Tensor(NamedTuple):
    datatype: str
    shape: tuple[int, ...]
    data: Buffer | RegionPart


class EnsembleRun:
    """`done` is called once with all of the ensemble's outputs, or with the error of the first step to fail,
    which cancels the others. A step gets the time that is left until `deadline_ns`."""

    def __init__(
        self,
        begin: BeginStep,
        model: ServedModel,
        request: InferRequest,
        rows: int,
        deadline_ns: int | None,
        done: Callable[[Outputs | ServerError], None],
    ) -> None:
        assert model.ensemble is not None
        self._begin = begin
        self._model = model
        self._request = request
        self._rows = rows
        self._deadline_ns = deadline_ns
        self._done = done
        self._tensors = {
            tensor.name: _Tensor(tensor.datatype, tensor.shape, tensor.data) for tensor in request.inputs
        }
        self._left = list(model.ensemble.steps)
        self._running: dict[int, Running | None] = {}
        self._ids = itertools.count()
        self._times = StepTimes()
        self._ended = False
        self._advancing = False
        self._finished = False

    def start(self) -> None:
        """`done` may be called before this returns."""
        self._advance()

    @property
    def answers(self) -> list[InferenceAnswer]:
        """Once it has ended well, one that stands for those of all steps: their times together, as Triton
        counts them."""
        if not self._finished:
            return []
        times = self._times
        return [
            InferenceAnswer(
                (),
                next(_numbers),
                self._rows,
                times.queue_ns,
                times.input_ns,
                times.infer_ns,
                times.output_ns,
                times.moments,
            )
        ]

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        self._ended = True
        running, self._running = self._running, {}
        for step in running.values():
            if step is not None:
                step.cancel()

    def _advance(self) -> None:
        """Begins every step whose tensors are there. Steps may end while this goes on."""
        if self._advancing:
            return
        self._advancing = True
        while not self._ended:
            able = [step for step in self._left if self._tensors.keys() >= set(step.inputs.values())]
            if not able:
                break
            for step in able:
                self._left.remove(step)
                if not self._ended:
                    self._start(step)
        self._advancing = False
        if not self._ended and not self._running and not self._left:
            self._finish()

    def _start(self, step: EnsembleStep) -> None:
        request = self._request
        inputs = [InputTensor(own, *self._tensors[name]) for own, name in step.inputs.items()]
        asked = InferRequest(
            inputs,
            tuple(step.outputs),
            request.id,
            priority=request.priority,
            parameters=request.parameters,
            sequence=request.sequence,
        )
        number = next(self._ids)
        self._running[number] = None
        try:
            running = self._begin(
                step.model, step.version, asked, self._deadline_ns, partial(self._stepped, number, step)
            )
        except ServerError as error:
            self._stepped(number, step, error)
            return
        if number in self._running:
            self._running[number] = running

    def _stepped(self, number: int, step: EnsembleStep, outcome: InferResponse | ServerError) -> None:
        self._running.pop(number, None)
        if self._ended:
            return
        if isinstance(outcome, ServerError):
            self.cancel()
            self._done(outcome)
            return
        for tensor, data in zip(outcome.layout.tensors, outcome.data, strict=True):
            self._tensors[step.outputs[tensor.name]] = _Tensor(tensor.datatype, tensor.shape, data)
        if outcome.times is not None:
            self._count(outcome.times)
        self._advance()

    def _count(self, times: InferenceAnswer) -> None:
        so_far = self._times
        self._times = StepTimes(
            so_far.queue_ns + times.queue_ns,
            so_far.input_ns + times.input_ns,
            so_far.infer_ns + times.infer_ns,
            so_far.output_ns + times.output_ns,
            max(so_far.moments, times.moments),
        )

    def _finish(self) -> None:
        self._ended = True
        found = [self._tensors.get(spec.name) for spec in self._model.outputs]
        tensors, shapes = [], []
        for spec, tensor in zip(self._model.outputs, found, strict=True):
            if tensor is None or not isinstance(tensor.data, bytes):
                self._done(
                    ServerError(
                        Code.INTERNAL, f"in ensemble '{self._model.name}', no step makes '{spec.name}'"
                    )
                )
                return
            tensors.append(tensor.data)
            shapes.append(tensor.shape)
        self._finished = True
        self._done(Outputs(tuple(tensors), tuple(shapes)))
