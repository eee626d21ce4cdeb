"""What an artifact should compute, kept with it where the converter could not run it itself.

The first device that runs the artifact is held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clockwork_triton.artifact.difference import error_of
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.datatypes import TensorSpec, numpy_dtype

Array = npt.NDArray[Any]
FILENAME = "expectation.npz"


@dataclass(frozen=True)
class Expectation:
    """For the manifest's smallest batch size: inputs, the outputs that `reference` gives for them, and how
    far off each of the device's may be, as `error_of` has it. Arrays in the manifest's order, with the batch
    dimension if the model has one."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    tolerances: tuple[float, ...]
    reference: str

    def write(self, artifact: Path) -> None:
        """As bytes: the file format does not know every type."""
        kinds = {"input": self.inputs, "output": self.outputs}
        arrays = {
            f"{kind}{number}": np.frombuffer(array.tobytes(), np.uint8)
            for kind, every in kinds.items()
            for number, array in enumerate(every)
        }
        named = {"tolerances": np.array(self.tolerances), "reference": np.str_(self.reference)}
        np.savez_compressed(artifact / FILENAME, **arrays, **named)  # type: ignore[arg-type]

    @classmethod
    def read(cls, artifact: Path, manifest: Manifest) -> Expectation | None:
        """None where there is none: the converter has checked the artifact."""
        path = artifact / FILENAME
        if not path.exists():
            return None
        with np.load(path) as stored:

            def arrays(kind: str, tensors: Sequence[TensorSpec]) -> tuple[Array, ...]:
                flat = [
                    np.frombuffer(stored[f"{kind}{number}"].tobytes(), numpy_dtype(tensor.dtype))
                    for number, tensor in enumerate(tensors)
                ]
                batch = (manifest.batch_sizes[0],) if manifest.max_batch_size else ()
                return tuple(
                    array.reshape(batch + tensor.shape) for array, tensor in zip(flat, tensors, strict=True)
                )

            inputs, outputs = arrays("input", manifest.inputs), arrays("output", manifest.outputs)
            tolerances = tuple(map(float, stored["tolerances"]))
            return cls(inputs, outputs, tolerances, str(stored["reference"]))

    def worst(self, wanted: Sequence[Array], found: Sequence[Array]) -> tuple[float, int]:
        """The error of the output that is furthest off for what it may be, and which one that is."""
        errors = [error_of(want, have) for want, have in zip(wanted, found, strict=True)]

        def share(number: int) -> float:
            error, allowed = errors[number], self.tolerances[number]
            return error / allowed if allowed else np.inf if error else 0.0

        number = max(range(len(errors)), key=share)
        return errors[number], number

    def rows(self, size: int) -> tuple[Array, ...]:
        """Inputs of this many rows: the first are those of the expectation, the others made of them, so that
        no row is like another but none holds what the model may not be given."""
        return tuple(np.stack([_row(array, number) for number in range(size)]) for array in self.inputs)


def _row(array: Array, number: int) -> Array:
    """Turned round, and floats negated, by turns."""
    turn, source = divmod(number, len(array))
    row: Array = np.roll(array[source], turn)
    return -row if turn % 2 and row.dtype.kind not in "iub" else row
