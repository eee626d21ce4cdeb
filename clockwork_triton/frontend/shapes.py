"""The tensors of a model as clients see them: configured names, wire datatypes, configured shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from clockwork_triton.datatypes import NUMPY_TO_WIRE, WIRE_TO_NUMPY, TensorSpec, itemsize

_LARGEST_DIM = 2**31 - 1
"""A tensor with a dimension of 0 has no data, whatever its others are."""


@dataclass(frozen=True, slots=True)
class TensorRule:
    """What a client's tensor must look like.

    `index`: its place among the artifact's tensors. `dims` leaves the batch dimension out; -1 stands for a
    dimension that each request chooses. `row_bytes` is the size of one row (of the whole tensor where the
    model does not batch), None for BYTES and where a dimension is open.
    """

    index: int
    name: str
    datatype: str
    dims: tuple[int, ...]
    row_bytes: int | None

    @property
    def open(self) -> bool:
        return -1 in self.dims

    @property
    def row_elements(self) -> int:
        return prod(self.dims)

    def takes(self, dims: Sequence[int]) -> bool:
        """Whether a tensor may have these dimensions, the batch dimension left out."""
        return len(dims) == len(self.dims) and all(
            given == dim or (dim == -1 and 0 <= given <= _LARGEST_DIM)
            for given, dim in zip(dims, self.dims, strict=True)
        )

    def bytes_of(self, shape: Sequence[int]) -> int:
        """The size of a tensor of this shape, batch dimension included; not for BYTES."""
        return prod(shape) * itemsize(WIRE_TO_NUMPY[self.datatype])


def tensor_rules(specs: Sequence[TensorSpec], configured: Sequence[Any]) -> tuple[TensorRule, ...]:
    """One rule a tensor, in the order of the configuration (ModelInput or ModelOutput messages).

    The artifact's shapes are those after `reshape`; clients send and get the shapes before it. A tensor that
    the configuration does not mention follows, as the artifact has it.
    """
    places = {spec.name: index for index, spec in enumerate(specs)}
    order = [message.name for message in configured if message.name in places]
    order += [spec.name for spec in specs if spec.name not in order]
    dims = {message.name: tuple(message.dims) for message in configured}
    return tuple(_rule(places[name], specs[places[name]], dims.get(name)) for name in order)


def format_shape(shape: Sequence[int]) -> str:
    """As Triton prints shapes: `[1,16]`."""
    return "[" + ",".join(map(str, shape)) + "]"


def _rule(index: int, spec: TensorSpec, dims: tuple[int, ...] | None) -> TensorRule:
    client_dims = spec.shape if dims is None else _fixed(dims, spec.shape)
    row_bytes = None if spec.dtype == "object" or -1 in spec.shape else spec.row_bytes
    return TensorRule(index, spec.name, NUMPY_TO_WIRE[spec.dtype], client_dims, row_bytes)


def _fixed(dims: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """`dims` with its -1 replaced by what the artifact has fixed them to."""
    if -1 not in dims:
        return dims
    if len(dims) == len(shape):
        return shape
    known = prod(dim for dim in dims if dim != -1)
    assert dims.count(-1) == 1, f"{dims} does not tell how {shape} is reshaped"
    return tuple(prod(shape) // known if dim == -1 else dim for dim in dims)
