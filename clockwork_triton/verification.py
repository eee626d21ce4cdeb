"""Holds a device against what an artifact should compute, where the converter could not run it itself.

The smallest batch size is compared with what the ONNX reference gave, every larger one with the smallest, run
on the same rows piece by piece.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.difference import told
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.datatypes import numpy_dtype
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.inference import InferenceCall, InferenceEngine, answer_of

Array = npt.NDArray[Any]


class Asker(Protocol):
    """Has the device run a batch."""

    async def __call__(self, size: int, inputs: Sequence[bytes]) -> Sequence[bytes]:
        """The outputs, in the manifest's order, for inputs of `size` rows. ServerError if there are none."""
        ...


async def verify(ask: Asker, manifest: Manifest, expectation: Expectation, device_kind: str) -> float:
    """The largest difference. ServerError with the figures if the device computes something else."""
    base, *larger = manifest.batch_sizes
    answers = await _answers(ask, manifest, base, expectation.inputs)
    worst = _held_against(expectation.outputs, answers, manifest, expectation, device_kind, "")
    for size in larger:
        pieces = -(-size // base)
        rows = expectation.rows(pieces * base)
        wanted = [
            await _answers(
                ask, manifest, base, [array[number * base : (number + 1) * base] for array in rows]
            )
            for number in range(pieces)
        ]
        whole = [np.concatenate(parts)[:size] for parts in zip(*wanted, strict=True)]
        answers = await _answers(ask, manifest, size, [array[:size] for array in rows])
        where = f" in a batch of {size}"
        worst = max(worst, _held_against(whole, answers, manifest, expectation, device_kind, where))
    return worst


def by_engine(
    engine: InferenceEngine, model_id: int, manifest: Manifest, schedule: Callable[[int], None]
) -> Asker:
    """For a model that nobody asks for yet. `schedule`: has it run in batches of this size alone, on one kind
    of device; else a larger size, which may be as quick, could take its place."""

    async def ask(size: int, inputs: Sequence[bytes]) -> Sequence[bytes]:
        schedule(size)
        rows = size if manifest.max_batch_size else 1
        call = InferenceCall(model_id, rows, tuple(inputs), time.monotonic_ns(), None)
        outcome = await answer_of(engine, call)
        if isinstance(outcome, ServerError):
            raise outcome
        assert outcome.executed_rows == rows, "no other size is scheduled"
        return outcome.outputs

    return ask


async def _answers(ask: Asker, manifest: Manifest, size: int, inputs: Sequence[Array]) -> list[Array]:
    outputs = await ask(size, [np.ascontiguousarray(array).tobytes() for array in inputs])
    batch = (size,) if manifest.max_batch_size else ()
    return [
        np.frombuffer(content, numpy_dtype(tensor.dtype)).reshape(batch + tensor.shape)
        for content, tensor in zip(outputs, manifest.outputs, strict=True)
    ]


def _held_against(
    wanted: Sequence[Array],
    found: Sequence[Array],
    manifest: Manifest,
    expectation: Expectation,
    device_kind: str,
    where: str,
) -> float:
    """The error of the output that is furthest off for what it may be."""
    error, number = expectation.worst(wanted, found)
    allowed, tensor = expectation.tolerances[number], manifest.outputs[number]
    if error > allowed:
        who = "what its rows give alone" if where else expectation.reference
        raise ServerError(
            Code.INTERNAL,
            f"on {device_kind} the compiled model '{manifest.name}' disagrees with {who}{where}: output "
            f"'{tensor.name}' {told(error, tensor.dtype)} ({allowed:.0e} is allowed)",
        )
    return error
