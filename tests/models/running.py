"""Runs an ONNX model on random input: on ONNX Runtime, and through TVM's default pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

Array = np.ndarray[Any, Any]


def random_inputs(model: onnx.ModelProto, batch: int, seed: int = 0) -> dict[str, Array]:
    """Normal floats; integers of 0 to 99, or of 0 and 1 for a mask. Open dimensions are the batch."""
    random = np.random.default_rng(seed)
    weights = {weight.name for weight in model.graph.initializer}
    inputs: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        shape = [dim.dim_value or batch for dim in tensor.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if np.issubdtype(dtype, np.floating):
            inputs[value.name] = random.standard_normal(shape).astype(dtype)
        else:
            inputs[value.name] = random.integers(0, 2 if "mask" in value.name else 100, shape).astype(dtype)
    return inputs


def on_onnxruntime(model: onnx.ModelProto | bytes, inputs: dict[str, Array]) -> list[Array]:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    outputs: list[Array] = session.run(None, inputs)
    return outputs


def on_tvm(model: onnx.ModelProto, inputs: dict[str, Array]) -> list[Array]:
    """Imported for these very shapes, legalised and compiled by TVM's default pipeline (slow code)."""
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    shapes = {name: list(value.shape) for name, value in inputs.items()}
    module = relax.transform.LegalizeOps()(from_onnx(model, shape_dict=shapes))
    machine = relax.VirtualMachine(tvm.compile(module, target="llvm"), tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(value) for value in inputs.values()])
    return [tensor.numpy() for tensor in ([result] if hasattr(result, "numpy") else result)]


def assert_agree(ours: list[Array], theirs: list[Array], tolerance: float = 1e-4) -> None:
    """To `tolerance` of the greatest magnitude in each output."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        scale = max(float(np.abs(other).max()), 1e-30)
        assert float(np.abs(one.astype(np.float64) - other).max()) <= tolerance * scale
