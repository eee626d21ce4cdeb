"""One case through the converter."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.operators.suite import Case
from clockwork_triton.artifact.difference import difference
from converters.convert import convert
from converters.execute import LoadedArtifact
from converters.request import ConversionError, ConversionRequest
from converters.tolerances import TOLERANCES

HALVES = ("float16", "bfloat16")

Outcome = Literal["passed", "constant", "refused", "wrong"]


@dataclass(frozen=True)
class Trial:
    """`constant`: it passes with its integer inputs written into the model, as in exported networks the
    shapes, axes and counts are that operators take as inputs. `message`: the refusal, as a user sees it, or
    what is wrong."""

    case: str
    outcome: Outcome
    message: str = ""


def attempt(case: Case) -> Trial:
    """Converts the case's model and runs it on the case's data."""
    first = _try(case, case.model, frozenset())
    if first.outcome != "refused":
        return first
    parameters = frozenset(_integers(case))
    # What is left must still have an input to be served with.
    if not parameters or len(parameters) == len(case.model.graph.input) or len(case.data) != 1:
        return first
    second = _try(case, _with_constants(case, parameters), parameters)
    if second.outcome == "refused":
        return first
    return Trial(case.name, "constant" if second.outcome == "passed" else second.outcome, second.message)


def _try(case: Case, model: onnx.ModelProto, fixed: frozenset[int]) -> Trial:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "artifact").mkdir()
        onnx.save(model, folder / "model.onnx")
        request = ConversionRequest(folder / "model.onnx", case.name, 0, (1,))
        try:
            convert(request, folder / "artifact", {}, lambda progress: None)
        except ConversionError as error:
            return Trial(case.name, "refused", " ".join(str(error).split()))
        artifact = LoadedArtifact(folder / "artifact")
        for inputs, expected in case.data:
            given = [_array(x) for position, x in enumerate(inputs) if position not in fixed]
            problem = _difference(case, artifact.run(1, given), [_array(x) for x in expected])
            if problem:
                return Trial(case.name, "wrong", problem)
    return Trial(case.name, "passed")


def _array(value: Any) -> Any:
    """The suite has tensors of types that numpy lacks as messages."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _integers(case: Case) -> list[int]:
    """The positions of integer inputs."""
    inputs = case.data[0][0]
    return [i for i, x in enumerate(inputs) if isinstance(x, np.ndarray) and x.dtype.kind in "iu"]


def _with_constants(case: Case, positions: frozenset[int]) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    declared = list(model.graph.input)
    del model.graph.input[:]
    for position, value in enumerate(declared):
        if position in positions:
            array = case.data[0][0][position]
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        else:
            model.graph.input.append(value)
    return model


def _difference(case: Case, actual: Sequence[Any], expected: Sequence[Any]) -> str:
    """What differs, or nothing. By the suite's own measure, or of 16-bit floats by the converter's, since the
    order of sums alone exceeds the suite's there."""
    for number, (have, want) in enumerate(zip(actual, expected, strict=True)):
        if have.dtype != want.dtype or have.shape != want.shape:
            return f"output {number} is {have.dtype} {have.shape}, not {want.dtype} {want.shape}"
        if str(want.dtype) in HALVES and difference(want, have) <= TOLERANCES[str(want.dtype)]:
            continue
        if want.dtype.kind in "fV":
            close = np.isclose(
                have.astype(np.float64),
                want.astype(np.float64),
                rtol=case.rtol,
                atol=max(case.atol, 1e-6),
                equal_nan=True,
            )
        else:
            close = have == want
        if not close.all():
            return f"output {number} differs at {int((~close).sum())} of {close.size} places"
    return ""
