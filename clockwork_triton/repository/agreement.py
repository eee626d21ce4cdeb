"""Whether a configuration and its ONNX file agree (onnxruntime_backend: ValidateInputs, ValidateOutputs).

Shapes are the model's own throughout: where a tensor has a `reshape`, that is what the model sees, and
`dims` is what clients see. Both lay out the same bytes, so serving needs no more than the two shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.repository.completion import model_type
from clockwork_triton.repository.config import invalid
from clockwork_triton.repository.sequence import SequencePlan

Shape = tuple[int, ...]


def check_agreement(config: Any, signature: Signature, sequence: SequencePlan | None = None) -> None:
    """ServerError in Triton's words where the configuration is not that of the file."""
    expected = len(config.input) + (0 if sequence is None else len(sequence.inputs))
    if expected != len(signature.inputs):
        raise invalid(
            f"unable to load model '{config.name}', configuration expects {expected} inputs, "
            f"model provides {len(signature.inputs)}"
        )
    if sequence is not None:
        _check_sequence(config.name, signature, sequence)
    for kind, ios, tensors in (
        ("input", config.input, signature.inputs),
        ("output", config.output, signature.outputs),
    ):
        by_name = {tensor.name: tensor for tensor in tensors}
        for io in ios:
            if kind == "input" and io.optional:
                raise invalid(
                    f"unable to load model '{config.name}', optional input '{io.name}' is not supported"
                    + (" for models that support batching" if config.max_batch_size else "")
                )
            if io.name not in by_name:
                raise invalid(
                    f"unexpected inference {kind} '{io.name}', allowed {kind}s are: "
                    + ", ".join(sorted(by_name))
                )
            _check_tensor(config, kind, io, by_name[io.name])


def _check_sequence(name: str, signature: Signature, sequence: SequencePlan) -> None:
    inputs = {tensor.name: tensor for tensor in signature.inputs}
    outputs = {tensor.name: tensor for tensor in signature.outputs}
    wanted = [("input", inputs, each.name, each.dtype) for each in sequence.controls]
    for state in sequence.states:
        wanted.append(("input", inputs, state.input_name, state.dtype))
        wanted.append(("output", outputs, state.output_name, state.dtype))
    for kind, tensors, tensor, dtype in wanted:
        if tensor not in tensors:
            raise invalid(
                f"unexpected inference {kind} '{tensor}', allowed {kind}s are: " + ", ".join(sorted(tensors))
            )
        if tensors[tensor].dtype != dtype:
            raise invalid(
                f"unable to load model '{name}', configuration expects datatype "
                f"{DataType.Name(model_type(dtype))} for {kind} '{tensor}', model provides "
                f"{DataType.Name(model_type(tensors[tensor].dtype))}"
            )


def _check_tensor(config: Any, kind: str, io: Any, tensor: SignatureTensor) -> None:
    if io.data_type != model_type(tensor.dtype):
        raise invalid(
            f"unable to load model '{config.name}', configuration expects datatype "
            f"{DataType.Name(io.data_type)} for {kind} '{io.name}', model provides "
            f"{DataType.Name(model_type(tensor.dtype))}"
        )
    dims = model_shape(io)
    if tensor.shape is None:
        return
    if not tensor.shape and not config.max_batch_size:
        if any(dim != 1 for dim in dims):
            raise invalid(
                f"unable to load model '{config.name}', scalar tensor '{io.name}', should only provide 1 in "
                "the model configuration when the model doesn't support batching. Model configuration "
                f"provided: {text(dims)}."
            )
        return
    _check_dims(config, kind, io.name, tensor.shape, dims)


def _check_dims(config: Any, kind: str, name: str, file_shape: Shape, dims: Shape) -> None:
    prefix = f"model '{config.name}', tensor '{name}': "
    batches = config.max_batch_size > 0
    if batches and file_shape[:1] != (-1,):
        raise invalid(
            f"{prefix}for the model to support batching the shape should have at least 1 dimension and the "
            f"first dimension must be -1; but shape expected by the model is {text(file_shape)}"
        )
    complete = (-1, *dims) if batches else dims
    # Clients may see an output dimension as variable although it turns out the same for every request.
    same = len(file_shape) == len(complete) and all(
        theirs in (-1, ours) or (kind == "output" and ours == -1)
        for theirs, ours in zip(file_shape, complete, strict=True)
    )
    if not same:
        explained = (
            "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, "
            f"making complete shape {text(complete)}"
            if batches
            else f"shape {text(complete)}"
        )
        raise invalid(
            f"{prefix}the model expects {len(file_shape)} dimensions (shape {text(file_shape)}) but the "
            f"model configuration specifies {len(complete)} dimensions ({explained})"
        )


def input_shapes(config: Any, signature: Signature, *, may_be_open: bool = False) -> Mapping[str, Shape]:
    """The shape of every input as the model sees it, without the batch dimension.

    ServerError where one stays open, unless it may: which input and dimension, and what to write.
    """
    files = {tensor.name: tensor for tensor in signature.inputs}
    shapes: dict[str, Shape] = {}
    for io in config.input:
        scalar = files[io.name].shape == () and not config.max_batch_size
        shape = () if scalar else model_shape(io)
        if -1 in shape and (not may_be_open or io.HasField("reshape")):
            field = "reshape { shape" if io.HasField("reshape") else "dims"
            example = ", ".join("N" if dim == -1 else str(dim) for dim in shape)
            where = shape.index(-1)
            raise invalid(
                f"input '{io.name}' of model '{config.name}': dimension {where} of {text(shape)} is "
                "variable, but a model is compiled for fixed shapes; replace it by a number in config.pbtxt: "
                f'input [ {{ name: "{io.name}" data_type: {DataType.Name(io.data_type)} '
                f"{field}: [ {example} ] }} ] with a number for N"
                + (" (the batch dimension is not part of dims)" if config.max_batch_size else "")
            )
        shapes[io.name] = shape
    return shapes


def visible_specs(ios: Sequence[Any], loaded: Sequence[TensorSpec], name: str) -> tuple[TensorSpec, ...]:
    """The artifact's tensors with the shapes that clients see; the variable ones take what it turned out,
    where that is not for each request to say (-1).

    ServerError where the artifact's shape is not the one the configuration promises.
    """
    by_name = {io.name: io for io in ios}
    return tuple(
        TensorSpec(tensor.name, tensor.dtype, _visible(by_name[tensor.name], tensor.shape, name))
        for tensor in loaded
    )


def _visible(io: Any, shape: Shape, name: str) -> Shape:
    promised = model_shape(io)
    scalar = not shape and all(dim == 1 for dim in promised)
    if not scalar and (
        len(promised) != len(shape)
        or any(s != -1 and p not in (-1, s) for p, s in zip(promised, shape, strict=True))
    ):
        raise invalid(
            f"model '{name}', tensor '{io.name}': the model configuration promises shape {text(promised)}, "
            f"the model makes {text(shape)}"
        )
    turned_out = iter([s for p, s in zip(promised, shape, strict=False) if p == -1])
    return tuple(next(turned_out) if dim == -1 else dim for dim in io.dims)


def model_shape(io: Any) -> Shape:
    """The shape a configured tensor has inside the model, without the batch dimension; -1 where variable."""
    return tuple(io.reshape.shape) if io.HasField("reshape") else tuple(io.dims)


def text(shape: Sequence[int]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"
