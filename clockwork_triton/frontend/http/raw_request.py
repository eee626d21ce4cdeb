"""A request whose body is nothing but the bytes of a model's only input."""

from __future__ import annotations

from math import prod
from struct import pack
from typing import NoReturn

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.infer_request import Form, HttpInferRequest
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.request import InferRequest, InputTensor
from clockwork_triton.frontend.shapes import TensorRule
from clockwork_triton.inference import Buffer

_PREFIX = "[request id: <id_unknown>] "


def read_raw_request(body: memoryview, model: PreparedModel) -> HttpInferRequest:
    """One row of the model's input, everything else deduced. All outputs are answered in bytes.

    ServerError INVALID_ARG where the model has not one input, or one of another size.
    """
    rules = model.checker.inputs
    name = model.served.name
    if len(rules) != 1:
        _fail(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(rules)} inputs in "
            f"'{name}' model configuration"
        )
    (rule,) = rules
    data: Buffer = body
    dims = _deduced(rule, len(body))
    if rule.datatype == "BYTES":
        if prod(rule.dims) != 1:
            _fail(f"For BYTE datatype raw input '{rule.name}', the model must have input shape [1]")
        data = pack("<I", len(body)) + body
    elif len(body) != rule.bytes_of(dims):
        _fail(
            f"input byte size mismatch for input 'raw_input' for model '{name}'. "
            f"Expected {rule.bytes_of(dims)}, got {len(body)}"
        )
    batch = (1,) if model.served.max_batch_size else ()
    tensor = InputTensor(rule.name, rule.datatype, (*batch, *dims), data)
    return HttpInferRequest(InferRequest([tensor]), {}, Form.BINARY)


def _deduced(rule: TensorRule, size: int) -> tuple[int, ...]:
    """The dimensions of the input, its only open one as `size` bytes of data have it."""
    if rule.dims.count(-1) > 1:
        _fail(
            f"The shape of the raw input '{rule.name}' can not be deduced because there are more than one "
            "variable-sized dimension"
        )
    known = prod(dim for dim in rule.dims if dim != -1)
    if rule.datatype == "BYTES":
        return rule.dims
    rest = size // max(1, rule.bytes_of((known,)))
    return tuple(rest if dim == -1 else dim for dim in rule.dims)


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, _PREFIX + message)
