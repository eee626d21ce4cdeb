"""Why a request is not one for its model, in the order and the words of Triton's core.

Only requests that are known to be wrong come here, so this is written for exactness, not speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NoReturn, cast

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.request import InferRequest, InputTensor
from clockwork_triton.frontend.shapes import TensorRule, format_shape
from clockwork_triton.frontend.strings import strings_fault
from clockwork_triton.inference import Buffer
from clockwork_triton.repository.model import ServedModel

_BATCH_NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended "
    "to each input shape. If you want to specify the full shape including the batch dim in your input dims "
    "config, try setting max_batch_size to zero. See the model configuration docs for more info on "
    "max_batch_size."
)


def refuse(
    model: ServedModel, inputs: Sequence[TensorRule], outputs: Sequence[TensorRule], request: InferRequest
) -> NoReturn:
    """Raises the ServerError INVALID_ARG that Triton answers to such a request."""
    refuse_duplicates([tensor.name for tensor in request.inputs], request.outputs, request.id)
    _check_outputs(model, outputs, request)
    _check_count(model, inputs, request)
    rules = {rule.name: rule for rule in inputs}
    for tensor in request.inputs:
        if tensor.name not in rules:
            _fail(f"unexpected inference input '{tensor.name}' for model '{model.name}'")
    if model.max_batch_size > 0:
        _check_rows(model, request)
    for tensor in request.inputs:
        rule = rules[tensor.name]
        _check_datatype(model, rule, tensor, request)
        _check_shape(model, rule, tensor, request)
        _check_size(model, rule, tensor, request)
    raise AssertionError(f"nothing is wrong with a request for '{model.name}' that was refused")


def refuse_duplicates(inputs: Sequence[str], outputs: Sequence[str], request_id: str) -> None:
    """Raises ServerError INVALID_ARG where a request names a tensor twice."""
    for kind, names in (("input", inputs), ("output", outputs)):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                _fail(f"{kind} '{name}' already exists in request", request_id)
            seen.add(name)


def _fail(message: str, request_id: str | None = None) -> NoReturn:
    prefix = "" if request_id is None else f"[request id: {request_id or '<id_unknown>'}] "
    raise ServerError(Code.INVALID_ARG, prefix + message)


def _check_outputs(model: ServedModel, rules: Sequence[TensorRule], request: InferRequest) -> None:
    known = {rule.name for rule in rules}
    for name in request.outputs:
        if name not in known:
            _fail(f"unexpected inference output '{name}' for model '{model.name}'")


def _check_count(model: ServedModel, rules: Sequence[TensorRule], request: InferRequest) -> None:
    given = [tensor.name for tensor in request.inputs]
    if len(given) == len(rules):
        return
    missing = ",".join(f"'{rule.name}'" for rule in rules if rule.name not in given)
    got = ",".join(f"'{name}'" for name in given)
    # Where nothing is missing Triton's own list lacks its opening bracket; clients compare the text.
    _fail(
        f"expected {len(rules)} inputs but got {len(given)} inputs for model '{model.name}'. "
        f"Got input(s) [{got}], but missing required input(s) {'[' if missing else ''}{missing}]. "
        "Please provide all required input(s).",
        request.id,
    )


def _check_rows(model: ServedModel, request: InferRequest) -> None:
    rows = 0
    for tensor in request.inputs:
        if not tensor.shape:
            _fail(
                f"input '{tensor.name}' has no shape but model requires batch dimension for '{model.name}'",
                request.id,
            )
        if rows == 0:
            rows = tensor.shape[0]
        elif tensor.shape[0] != rows:
            _fail(
                f"input '{tensor.name}' batch size does not match other inputs for '{model.name}'", request.id
            )
    if rows > model.max_batch_size:
        _fail(
            f"inference request batch-size must be <= {model.max_batch_size} for '{model.name}'", request.id
        )


def _check_datatype(model: ServedModel, rule: TensorRule, tensor: InputTensor, request: InferRequest) -> None:
    if tensor.datatype != rule.datatype:
        given = tensor.datatype if tensor.datatype in WIRE_TO_NUMPY else "<invalid>"
        _fail(
            f"inference input '{rule.name}' data-type is '{given}', "
            f"but model '{model.name}' expects '{rule.datatype}'",
            request.id,
        )


def _check_shape(model: ServedModel, rule: TensorRule, tensor: InputTensor, request: InferRequest) -> None:
    batches = model.max_batch_size > 0
    dims = tensor.shape[1:] if batches else tensor.shape
    if len(dims) == len(rule.dims) and -1 in tensor.shape:
        _fail(
            f"All input dimensions should be specified for input '{rule.name}' for model '{model.name}', "
            f"got {format_shape(tensor.shape)}",
            request.id,
        )
    if not rule.takes(dims):
        expected = (-1, *rule.dims) if batches else rule.dims
        _fail(
            f"unexpected shape for input '{rule.name}' for model '{model.name}'. "
            f"Expected {format_shape(expected)}, got {format_shape(tensor.shape)}. "
            + (_BATCH_NOTE if batches else ""),
            request.id,
        )
    if batches and tensor.shape[0] < 1:
        _fail(
            f"inference request batch-size must be >= 1 for '{model.name}', got {tensor.shape[0]}", request.id
        )


def _check_size(model: ServedModel, rule: TensorRule, tensor: InputTensor, request: InferRequest) -> None:
    if rule.datatype == "BYTES":
        # Of that datatype, so it has been read.
        fault = strings_fault(cast(Buffer, tensor.data), prod(tensor.shape))
        if fault:
            _fail(fault.format(f"inference input '{rule.name}' for model '{model.name}'"), request.id)
    elif len(tensor.data) != rule.bytes_of(tensor.shape):
        _fail(
            f"input byte size mismatch for input '{rule.name}' for model '{model.name}'. "
            f"Expected {rule.bytes_of(tensor.shape)}, got {len(tensor.data)}",
            request.id,
        )
