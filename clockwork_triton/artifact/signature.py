"""The inputs and outputs that an ONNX file declares, before anything is fixed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SignatureTensor:
    """`dtype` is the numpy name, "object" for strings; `shape` holds -1 for every dimension not fixed.

    `shape` None: the file does not tell the rank (outputs only).
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Signature:
    inputs: tuple[SignatureTensor, ...]
    outputs: tuple[SignatureTensor, ...]

    @property
    def texts(self) -> bool:
        """Whether a tensor holds strings, which cannot be compiled."""
        return any(tensor.dtype == "object" for tensor in (*self.inputs, *self.outputs))

    @property
    def batches(self) -> bool:
        """Whether every tensor has a first dimension that is not fixed, as a batch dimension is."""
        return all(t.shape is not None and t.shape[:1] == (-1,) for t in (*self.inputs, *self.outputs))
