"""Kernels in CUDA C, on their way through Relax, which knows no callee but TIR functions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tvm import s_tir, tirx

from converters.schedules.network.graph import Tensor

NAME = "@NAME@"
"""Stands in a text for the kernel's name, which is decided when all kernels are known."""
_ATTRIBUTE = "clockwork.source"

Dim3 = tuple[int, int, int]


@dataclass(frozen=True)
class Start:
    """One launch of a kernel's device function NAME + `suffix`, on the arguments of these numbers."""

    suffix: str
    grid: Dim3
    block: Dim3
    shared_bytes: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class Source:
    """A kernel's device functions as text, and their launches in order."""

    text: str
    starts: tuple[Start, ...]


def as_function(source: Source, tensors: Sequence[Tensor]) -> tirx.PrimFunc:
    """A function on these tensors that stands for the source: opaque to every pass, and empty."""
    parameters = [tirx.decl_buffer(t.shape, t.dtype, f"p{i}") for i, t in enumerate(tensors)]
    block = s_tir.SBlock([], [], [], "root", tirx.Evaluate(0))
    func = tirx.PrimFunc(parameters, s_tir.SBlockRealize([], True, block))
    text = json.dumps(asdict(source))
    return func.with_attrs({"tirx.is_scheduled": True, "op_pattern": 8, _ATTRIBUTE: text})


def source_of(func: tirx.PrimFunc) -> Source | None:
    """What `as_function` was given; None for a function that is TIR."""
    text: Any = func.attrs.get(_ATTRIBUTE) if func.attrs is not None else None
    if text is None:
        return None
    document = json.loads(str(text))
    starts = tuple(
        Start(
            start["suffix"],
            _dim3(start["grid"]),
            _dim3(start["block"]),
            start["shared_bytes"],
            tuple(start["arguments"]),
        )
        for start in document["starts"]
    )
    return Source(document["text"], starts)


def _dim3(values: Sequence[int]) -> Dim3:
    x, y, z = values
    return x, y, z
