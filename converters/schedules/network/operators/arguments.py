"""What a translation of a Relax call is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Tensor


@dataclass(frozen=True)
class Arguments:
    """The call, its tensors, and outputs of the shapes and types that its results must have."""

    call: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    @property
    def attrs(self) -> Any:
        return self.call.attrs

    def ints(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of integers; none for one that is not given."""
        value = getattr(self.attrs, name)
        return () if value is None else tuple(int(item) for item in value)

    def number(self, position: int) -> float | None:
        """A positional argument that is a number known here."""
        value = self.call.args[position]
        return float(value.value) if isinstance(value, tirx.IntImm | tirx.FloatImm) else None

    def is_float(self) -> bool:
        return all(tensor.dtype == "float32" for tensor in (*self.inputs, *self.outputs))


Translation = Callable[[Builder, Arguments], "Tensor | tuple[Tensor, ...] | None"]
