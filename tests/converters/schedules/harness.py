"""Runs what the schedules make of a small ONNX model, without an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tvm
from onnx import numpy_helper
from tvm import relax

from converters import schedules
from converters.importer import import_model
from tests.converters.models import FLOAT, model, node

_AVX512 = {"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 1}
AVX2 = {"kind": "llvm", "mcpu": "haswell", "num-cores": 1}

Array = np.ndarray[Any, Any]

__all__ = ["AVX2", "FLOAT", "Compiled", "best", "check", "model", "node", "random"]


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Compiled:
    """A scheduled and compiled model. `kernels`: their names, in the order of the calls."""

    def __init__(self, module: tvm.IRModule, target: tvm.target.Target) -> None:
        self.module = module
        functions = {
            name: function.with_attr("global_symbol", name.name_hint)
            for name, function in self.module.functions.items()
            if isinstance(function, tvm.tirx.PrimFunc)
        }
        self._library = tvm.compile(tvm.IRModule(functions), target=target) if functions else {}
        self.kernels: list[str] = []

    @classmethod
    def of(cls, imported: tvm.IRModule, target: Mapping[str, Any] | None = None) -> Compiled:
        chosen = tvm.target.Target(dict(target or best()))
        with chosen:
            return cls(schedules.pipeline(chosen)(imported), chosen)

    def __call__(self, *inputs: Array) -> list[Array]:
        main = self.module["main"]
        self.kernels = []
        self._values = dict(zip(main.params, map(tvm.runtime.tensor, inputs), strict=True))
        for block in main.body.blocks:
            for binding in block.bindings:
                self._values[binding.var] = self._evaluate(binding.value)
        result = self._evaluate(main.body.body)
        return [tensor.numpy() for tensor in (result if isinstance(result, tuple) else (result,))]

    def _evaluate(self, expression: Any) -> Any:
        if isinstance(expression, relax.Var):
            return self._values[expression]
        if isinstance(expression, tvm.ir.GenericConst):
            return expression.value
        if isinstance(expression, relax.Tuple):
            return tuple(map(self._evaluate, expression.fields))
        if isinstance(expression, relax.TupleGetItem):
            return self._evaluate(expression.tuple_value)[expression.index]
        if expression.op.name == "relax.reshape":
            source = self._evaluate(expression.args[0]).numpy()
            return tvm.runtime.tensor(source.reshape([int(dim) for dim in expression.ty.shape]))
        if expression.op.name == "relax.strided_slice":
            begin = int(expression.args[2].fields[0])
            end = begin + int(expression.ty.shape[0])
            return tvm.runtime.tensor(self._evaluate(expression.args[0]).numpy()[begin:end])
        if expression.op.name == "relax.concat":
            parts = [part.numpy() for part in self._evaluate(expression.args[0])]
            return tvm.runtime.tensor(np.concatenate(parts))
        assert expression.op.name == "relax.call_tir", expression
        return self._call(expression)

    def _call(self, call: Any) -> Any:
        name = call.args[0].name_hint
        self.kernels.append(name)
        is_tuple = isinstance(call.ty, relax.TupleType)
        outputs = tuple(
            tvm.runtime.tensor(np.full([int(dim) for dim in ty.shape], 77, str(ty.dtype)))
            for ty in (call.ty.fields if is_tuple else [call.ty])
        )
        self._library[name](*self._evaluate(call.args[1]), *outputs)
        return outputs if is_tuple else outputs[0]


def unscheduled_product(rows: int, depth: int, columns: int) -> tvm.IRModule:
    """A product of float64, which no template knows, as TVM makes its kernel `matmul`."""
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType([rows, depth], "float64"))
    w = relax.Var("w", relax.TensorType([depth, columns], "float64"))
    with builder.function("main", [x, w]):
        with builder.dataflow():
            result = builder.emit_output(builder.emit(relax.op.matmul(x, w)))
        builder.emit_func_output(result)
    return relax.transform.LegalizeOps()(builder.get())


def imported(proto: onnx.ModelProto) -> tvm.IRModule:
    weights = {tensor.name: np.array(numpy_helper.to_array(tensor)) for tensor in proto.graph.initializer}
    graph = onnx.GraphProto()
    graph.CopyFrom(proto.graph)
    del graph.initializer[:]
    tensors = {name: tvm.runtime.tensor(array) for name, array in weights.items()}
    return import_model(graph, proto.opset_import[0].version, tensors)


def best() -> Mapping[str, Any]:
    """What this machine runs: AVX-512, else AVX2, else whatever it is."""
    from tvm.target import codegen

    here = {"kind": "llvm", "mcpu": codegen.llvm_get_system_cpu(), "num-cores": 1}
    return _AVX512 if codegen.llvm_cpu_has_features("avx512f", tvm.target.Target(here)) else here


def check(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Array],
    weights: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    target: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
) -> Compiled:
    """Compiles the nodes and compares with ONNX Runtime, relative to the scale."""
    proto = model(
        nodes,
        {name: (onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in inputs.items()},
        dict.fromkeys(outputs, (FLOAT, None)),
        weights,
        opset=20,
    )
    compiled = Compiled.of(imported(proto), target)
    results = compiled(*inputs.values())
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for result, expected in zip(results, session.run(None, dict(inputs)), strict=True):
        assert result.shape == expected.shape
        scale = max(float(np.abs(expected).max(initial=0)), 1e-30)
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * scale)
    return compiled
