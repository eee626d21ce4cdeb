"""Fixes the shapes of a model's inputs."""

from __future__ import annotations

import onnx

from converters.request import ConversionError, ConversionRequest


def input_shapes(
    graph: onnx.GraphProto, request: ConversionRequest, batch_size: int
) -> dict[str, tuple[int, ...]]:
    """The full shape of each input for one batch size.

    A dimension comes from `request.shapes`, or where that has none (or -1) from the file. ConversionError
    names what neither fixes, or both fix differently. The file's own batch dimension is overridden.
    """
    known = {value.name for value in graph.input}
    for name in request.shapes:
        if name not in known:
            raise ConversionError(f"the model has no input '{name}' (it has: {', '.join(sorted(known))})")
    batches = request.max_batch_size > 0
    return {
        value.name: ((batch_size,) if batches else ()) + _row(value, request.shapes.get(value.name), batches)
        for value in graph.input
    }


def declared_dims(value: onnx.ValueInfoProto) -> tuple[int | str, ...] | None:
    """Each dimension's size, or its name ("" if it has none) where it is open; None for an unknown rank.

    A declared 0 counts as open: exporters write it for "unknown", and no kernel runs on nothing.
    """
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.dim_value > 0 else dim.dim_param for dim in tensor.shape.dim)


def _row(value: onnx.ValueInfoProto, given: tuple[int, ...] | None, batches: bool) -> tuple[int, ...]:
    """The shape of an input without its batch dimension, if it has one."""
    name = value.name
    remedy = f"give the whole shape in `dims` of input '{name}' in config.pbtxt, without -1"
    declared = declared_dims(value)
    if declared is None:
        if given is None:
            raise ConversionError(f"input '{name}' has no shape in the file: {remedy}")
        declared = ("",) * (len(given) + batches)
    if batches and not declared:
        raise ConversionError(f"input '{name}' is a scalar, which cannot batch: set max_batch_size to 0")
    row = declared[1:] if batches else declared
    given = (-1,) * len(row) if given is None else given
    if len(given) != len(row) or any(
        isinstance(d, int) and g not in (d, -1) for d, g in zip(row, given, strict=True)
    ):
        shown = ", ".join(str(dim or -1) for dim in row)
        raise ConversionError(
            f"input '{name}' has shape [{shown}] in the file, but {list(given)} is configured"
        )
    fixed = []
    for index, (dim, wanted) in enumerate(zip(row, given, strict=True)):
        size = dim if wanted < 0 else wanted
        if not isinstance(size, int):
            label = f" ('{dim}')" if dim else ""
            raise ConversionError(
                f"dimension {index + batches}{label} of input '{name}' is not fixed: {remedy}"
            )
        if size == 0:
            raise ConversionError(f"dimension {index + batches} of input '{name}' is 0: nothing to compute")
        fixed.append(size)
    return tuple(fixed)
