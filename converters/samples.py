"""Random inputs for a model, as far as its manifest and its graph tell what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.datatypes import numpy_dtype
from converters.source import Array


@dataclass(frozen=True)
class Sampler:
    """Normal floats, fair booleans, integers of `integers` (low, high) but for those inputs that are known
    to be indices: they are below `index_limits`. What is called a mask takes 0 and 1: with more, a penalty of
    -10,000 times (1 - mask) would drown what it is added to. The same arguments give the same inputs."""

    manifest: Manifest
    index_limits: Mapping[str, int]
    integers: tuple[int, int]

    def inputs(self, batch_size: int, seed: int = 0) -> list[Array]:
        """In the manifest's order, with the batch dimension if the model has one."""
        rng = np.random.default_rng(seed)
        inputs: list[Array] = []
        for tensor in self.manifest.inputs:
            shape = (batch_size, *tensor.shape) if self.manifest.max_batch_size else tensor.shape
            dtype = numpy_dtype(tensor.dtype)
            if tensor.dtype == "bool":
                inputs.append(rng.random(shape) < 0.5)
            elif dtype.kind in "iu":
                mask = 2 if "mask" in tensor.name.lower() else None
                limit = self.index_limits.get(tensor.name, mask)
                low, high = self.integers if limit is None else (0, limit)
                high = min(high, np.iinfo(tensor.dtype).max)
                inputs.append(rng.integers(low, high, shape).astype(dtype))
            else:
                inputs.append(rng.standard_normal(shape).astype(dtype))
        return inputs
