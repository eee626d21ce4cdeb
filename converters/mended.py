"""Operators that TVM's importer gets wrong or slow, in Relax of our own.

Slow are those that it makes kernels of on the spot: these are opaque to what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from converters.request import ConversionError
from converters.resizing import resize


def mended(op: str, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """The operator's result as a Relax expression; None where TVM's own import is right."""
    mend = _MENDED.get(op)
    return mend(inputs, attributes) if mend else None


def _known(expression: Any) -> np.ndarray[Any, Any] | None:
    return expression.value.numpy() if isinstance(expression, tvm.ir.GenericConst) else None


def _gather(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """From an axis of known size, where negative indices count from its end. TVM's importer computes even
    known indices with three operators, each of which FoldConstant compiles and runs."""
    data, indices = inputs[:2]
    axis = int(attributes.get("axis", 0))
    if not isinstance(data.ty, relax.TensorType) or not isinstance(data.ty.shape[axis], tirx.IntImm):
        return None
    size = int(data.ty.shape[axis])
    known = _known(indices)
    if known is not None:
        return relax.op.take(data, relax.const(known.astype(np.int64) % size), axis, mode="fast")
    zero, end = (relax.const(value, str(indices.ty.dtype)) for value in (0, size))
    places = relax.op.where(relax.op.less(indices, zero), relax.op.add(indices, end), indices)
    return relax.op.take(data, places, axis, mode="fast")


def _clip(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Between bounds that are known. A bound that is NaN is none."""
    data = inputs[0]
    if str(data.ty.dtype) != "float32":
        return None
    bounds = []
    for position, (name, open_end) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        given: Any = attributes.get(name, open_end)
        if len(inputs) > position and inputs[position] is not None:
            given = _known(inputs[position])
        if given is None:
            return None
        bound = float(np.asarray(given).reshape(()))
        bounds.append(open_end if np.isnan(bound) else bound)
    return relax.op.clip(data, *map(relax.prim_value, bounds))


def _pad(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """With a constant, around axes of which none is cut."""
    data = inputs[0]
    widths = _known(inputs[1]) if len(inputs) > 1 else np.asarray(attributes["pads"])
    value = _known(inputs[2]) if len(inputs) > 2 and inputs[2] is not None else attributes.get("value", 0.0)
    if widths is None or value is None or attributes.get("mode", b"constant") != b"constant":
        return None
    axes: Any = np.arange(data.ty.ndim)
    if len(inputs) > 3 and inputs[3] is not None:
        axes = _known(inputs[3])
    if str(data.ty.dtype) != "float32" or axes is None or widths.min(initial=0) < 0:
        return None
    around = np.zeros((data.ty.ndim, 2), np.int64)
    around[axes % data.ty.ndim] = widths.reshape(2, -1).T
    return relax.op.nn.pad(
        data, around.reshape(-1).tolist(), "constant", float(np.asarray(value).reshape(()))
    )


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


def _fold(combine: Callable[[Any, Any], Any], inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """Of integers, one after the other: TVM's importer stacks them and reduces the stack."""
    if any("float" in str(value.ty.dtype) for value in inputs):
        return None
    return reduce(combine, inputs)


_MENDED: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "Clip": _clip,
    "Gather": _gather,
    "IsInf": _is_inf,
    "Max": partial(_fold, relax.op.maximum),
    "Min": partial(_fold, relax.op.minimum),
    "Mod": _mod,
    "Pad": _pad,
    "Resize": resize,
}
