"""The arrays of a model as TVM tensors, and what TVM makes of them back into bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from clockwork_triton.artifact.program import Memory
from converters.source import Array
from converters.weights import WeightSpool


def as_tensors(weights: Mapping[str, Array]) -> dict[str, Any]:
    """TVM tensors that share the arrays' memory, which must outlive them."""
    return {
        name: Memory(array.ctypes.data).view(0, str(array.dtype), array.shape)
        for name, array in weights.items()
    }


def store(spool: WeightSpool, tensor: Any) -> str:
    """Adds a TVM tensor's bytes to the spool; their digest."""
    # numpy takes no bfloat16 over DLPack, so that one is copied.
    array = tensor.numpy() if str(tensor.dtype) == "bfloat16" else np.from_dlpack(tensor)
    return spool.add(array.reshape(-1).view(np.uint8).data)
