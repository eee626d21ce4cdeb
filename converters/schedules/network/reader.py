"""Relax to a Network."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax, tirx

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Network, Node, Tensor
from converters.schedules.network.operators import TRANSLATIONS, Arguments

NUMPY_DTYPES = ("float32", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")


class Unreadable(Exception):
    """The function is not a plain sequence of operators on tensors of known shapes."""


class Reader:
    """Reads `main`. `bound`: Relax expressions of tensors that no node computes, parameters among them."""

    def __init__(self, main: relax.Function) -> None:
        self.bound: dict[Tensor, Any] = {}
        self._builder = Builder()
        self._values: dict[Any, Any] = {}
        self._constants: dict[tuple[int, tuple[int, ...], str], Tensor] = {}
        for parameter in main.params:
            self._values[parameter] = self._bind(parameter)
        inputs = tuple(self._values[parameter] for parameter in main.params)
        if not isinstance(main.body, relax.SeqExpr):
            raise Unreadable
        for block in main.body.blocks:
            for binding in block.bindings:
                if not isinstance(binding, relax.VarBinding):
                    raise Unreadable
                self._values[binding.var] = self._read(binding.value)
        result = self._read(main.body.body)
        self.returns_tuple = isinstance(result, tuple)
        outputs = result if isinstance(result, tuple) else (result,)
        if not all(isinstance(output, Tensor) for output in outputs):
            raise Unreadable
        self.network = Network(self._builder.nodes, inputs, outputs)

    def _bind(self, expression: Any) -> Tensor:
        tensor = Tensor(*_type(expression.ty))
        self.bound[tensor] = expression
        return tensor

    def _read(self, expression: Any) -> Any:
        """A Tensor, or a tuple of what this returns."""
        if isinstance(expression, relax.Var):
            return self._values[expression]
        if isinstance(expression, relax.ShapeExpr):
            return expression
        if isinstance(expression, tvm.ir.GenericConst):
            return self._constant(expression)
        if isinstance(expression, relax.Tuple):
            return tuple(map(self._read, expression.fields))
        if isinstance(expression, relax.TupleGetItem):
            return self._read(expression.tuple_value)[expression.index]
        if isinstance(expression, relax.Call) and isinstance(expression.op, tvm.ir.Op):
            return self._call(expression)
        raise Unreadable

    def _constant(self, expression: Any) -> Tensor:
        shape, dtype = _type(expression.ty)
        if dtype not in NUMPY_DTYPES or not isinstance(expression.value, tvm.runtime.Tensor):
            return self._bind(expression)
        data = np.from_dlpack(tvm_ffi.from_dlpack(expression.value))
        # The same memory is the same tensor, and is packed once.
        key = data.ctypes.data, shape, dtype
        return self._constants.setdefault(key, Tensor(shape, dtype, data))

    def _call(self, call: Any) -> Any:
        if call.op.name == "relax.shape_of":
            return relax.ShapeExpr(_type(call.args[0].ty)[0])
        if call.op.name == "relax.shape_to_tensor":
            values = self._read(call.args[0]).values
            return Tensor.constant(np.array([int(value) for value in values], np.int64))
        arguments = [self._shape(argument) for argument in call.args]
        inputs = tuple(tensor for argument in arguments for tensor in self._tensors(argument))
        outputs = tuple(Tensor(*_type(ty)) for ty in _fields(call.ty))
        results = self._translated(call, inputs, outputs)
        if results is None:
            self._builder.nodes.append(Node(ops.Foreign(call, arguments), inputs, outputs))
            results = outputs
        return results if isinstance(call.ty, relax.TupleType) else results[0]

    def _shape(self, argument: Any) -> Any:
        """A shape that was computed, as the numbers that it is."""
        if isinstance(argument, relax.Var) and isinstance(self._values[argument], relax.ShapeExpr):
            return self._values[argument]
        return argument

    def _translated(
        self, call: Any, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        translate = TRANSLATIONS.get(call.op.name.removeprefix("relax."))
        if translate is None or not all(tensor.size for tensor in (*inputs, *outputs)):
            return None
        results = translate(self._builder, Arguments(call, inputs, outputs))
        if isinstance(results, Tensor):
            results = (results,)
        if results is not None:
            for result, expected in zip(results, outputs, strict=True):
                assert (result.shape, result.dtype) == (expected.shape, expected.dtype), call
        return results

    def _tensors(self, argument: Any) -> tuple[Tensor, ...]:
        if isinstance(argument, tvm.ir.GlobalVar):
            return ()
        if isinstance(argument, relax.Tuple):
            return tuple(tensor for field in argument.fields for tensor in self._tensors(field))
        if isinstance(argument.ty, relax.TensorType | relax.TupleType):
            value = self._read(argument)
            return value if isinstance(value, tuple) else (value,)
        if isinstance(argument, relax.Var):
            raise Unreadable
        return ()


def _fields(ty: Any) -> list[Any]:
    return list(ty.fields) if isinstance(ty, relax.TupleType) else [ty]


def _type(ty: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of a tensor's type."""
    if not isinstance(ty, relax.TensorType) or ty.shape is None:
        raise Unreadable
    if not all(isinstance(dim, tirx.IntImm) for dim in ty.shape):
        raise Unreadable
    return tuple(int(dim) for dim in ty.shape), str(ty.dtype)
