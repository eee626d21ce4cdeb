"""Operators that TVM's importer gets wrong or slow, in Relax of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tvm
from tvm import relax

from converters.request import ConversionError


def mended(op: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """The operator's result as a Relax expression; None where TVM's own import is right."""
    mend = _MENDED.get(op)
    return mend(inputs, attributes) if mend else None


def _gather(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """By constant indices, made non-negative here: TVM's importer does that with three operators, each of
    which FoldConstant compiles and runs, which takes seconds for an unrolled layer."""
    data, indices = inputs[:2]
    if not isinstance(indices, tvm.ir.GenericConst) or not isinstance(data.ty, relax.TensorType):
        return None
    axis = attributes.get("axis", 0)
    known = indices.value.numpy().astype(np.int64) % int(data.ty.shape[axis])
    return relax.op.take(data, relax.const(known), axis, mode="fast")


def _is_inf(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """TVM's importer looks for infinities of both signs, whatever it is asked."""
    found = relax.op.isinf(inputs[0])
    zero = relax.const(0, str(inputs[0].ty.dtype))
    if not attributes.get("detect_negative", 1):
        found = relax.op.logical_and(found, relax.op.greater(inputs[0], zero))
    if not attributes.get("detect_positive", 1):
        found = relax.op.logical_and(found, relax.op.less(inputs[0], zero))
    return found


def _mod(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """TVM's floor_mod of floats is not a number where the divisor is infinite."""
    dtype = str(inputs[0].ty.dtype)
    if "float" in dtype and not attributes.get("fmod", 0):
        raise ConversionError("operator Mod: floats need fmod=1")
    return None


_MENDED: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "Gather": _gather,
    "IsInf": _is_inf,
    "Mod": _mod,
}
