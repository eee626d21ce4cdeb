"""Has a version answer its warmup samples before it serves."""

from __future__ import annotations

import time

from clockwork_triton.artifact.manifest import COMPILED
from clockwork_triton.datatypes import itemsize
from clockwork_triton.errors import ServerError
from clockwork_triton.inference import InferenceCall, InferenceEngine, answer_of
from clockwork_triton.repository.loader import LoadedModel, ModelSource
from clockwork_triton.repository.sequence import ControlTensor
from clockwork_triton.repository.warmup import WarmupSample


async def warm_up(engine: InferenceEngine, source: ModelSource, loaded: LoadedModel) -> None:
    """Each sample as often as it says, one after the other. ServerError for the first that fails."""
    for sample in source.warmup:
        for _ in range(sample.count):
            outcome = await answer_of(engine, warmup_call(source, sample, loaded))
            if isinstance(outcome, ServerError):
                raise ServerError(
                    outcome.code, f"failed to run warmup sample '{sample.name}': {outcome.message}"
                ) from outcome


def warmup_call(source: ModelSource, sample: WarmupSample, loaded: LoadedModel) -> InferenceCall:
    """The call of a sample, without a deadline. What a sequence would add is as in its first request."""
    rows = min(sample.rows, max(loaded.infer_ns))
    batch = (rows,) if source.config.max_batch_size else ()
    inputs = [sample.inputs[tensor.name] * rows for tensor in source.config.input]
    shapes = [
        (*batch, *(sample.shapes[tensor.name] if -1 in spec.shape else spec.shape))
        for tensor, spec in zip(source.config.input, loaded.inputs, strict=False)
    ]
    if source.sequence is not None:
        extras = [control.values[1] or _first_id(control) for control in source.sequence.controls]
        extras += [state.initial for state in source.sequence.states]
        inputs += [extra * rows for extra in extras]
        shapes += [(*batch, *source.sequence.shapes[name]) for name in source.sequence.inputs]
    return InferenceCall(
        loaded.model_id,
        rows,
        tuple(inputs),
        time.monotonic_ns(),
        None,
        shapes=None if loaded.runtime == COMPILED else tuple(shapes),
    )


def _first_id(control: ControlTensor) -> bytes:
    if control.dtype == "object":
        return b"\x01\0\0\0" + b"1"
    return (1).to_bytes(itemsize(control.dtype), "little")
