"""What a conversion is asked to do, and how its progress is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PRECISIONS = ("tf32", "fp32", "fp16")
"""Of products on a GPU, the usual one first."""


class ConversionError(Exception):
    """The model cannot be converted; the text says why and, where it can, how to mend it."""


class ProcessDied(ConversionError):
    """The process that was to answer is gone; the text says how it ended."""


@dataclass(frozen=True)
class ConversionRequest:
    """One ONNX file to one artifact.

    `max_batch_size` 0: the first dimension is not a batch, shapes are literal. `shapes`: by input name, the
    full shape where the file leaves dimensions open (without the batch dimension for a model that batches).
    `inputs` and `outputs`: the order of tensors in the manifest; empty: the file's. `target`: "cpu" or
    "cuda"; `arch`: an LLVM -mcpu, "" being this machine's, or sm_XX. `precision`, on a GPU: products of
    "fp32", of "tf32" (FP32 inputs of which products take ten bits of fraction) or of "fp16", always summed
    in FP32.
    """

    onnx: Path
    name: str
    max_batch_size: int
    batch_sizes: tuple[int, ...]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    target: str = "cpu"
    arch: str = ""
    threads: int = 1
    tune: str = "off"
    precision: str = "tf32"


@dataclass(frozen=True)
class Progress:
    """A conversion's step, for people: `done` of `total`."""

    name: str
    stage: str
    done: int
    total: int
