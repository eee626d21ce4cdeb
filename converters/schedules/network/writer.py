"""A network of kernels back to Relax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from converters.schedules.network import ops
from converters.schedules.network.graph import Array, Network, Node, Tensor
from converters.schedules.network.naming import kernel_name
from converters.source import aligned


@dataclass(frozen=True)
class Lowered:
    """A kernel: its arguments are the inputs, the outputs, and `scratch` buffers of so many floats."""

    func: tirx.PrimFunc
    scratch: tuple[int, ...]


Lower = Callable[[Any, Sequence[Tensor], Sequence[Tensor]], Lowered]
"""From an operation, its inputs and its outputs to its kernel."""


def write(
    network: Network, module: tvm.IRModule, bound: Mapping[Tensor, Any], lower: Lower, *, as_tuple: bool
) -> tvm.IRModule:
    """`module` with a `main` of the same parameters that calls kernels, and what was foreign.

    `bound`: Relax expressions for the tensors that no node computes.
    """
    return _Writer(network, module, bound, lower).module(as_tuple)


class _Writer:
    def __init__(
        self, network: Network, module: tvm.IRModule, bound: Mapping[Tensor, Any], lower: Lower
    ) -> None:
        self._network = network
        self._main = module["main"]
        self._lower = lower
        others = {name: func for name, func in module.functions.items() if name.name_hint != "main"}
        self._builder = relax.BlockBuilder(tvm.IRModule(others))
        self._values: dict[Tensor, Any] = dict(bound)
        self._kernels: dict[Any, tuple[Lowered, Any]] = {}

    def module(self, as_tuple: bool) -> tvm.IRModule:
        builder = self._builder
        with builder.function("main", list(self._main.params)):
            with builder.dataflow():
                for node in self._network.nodes:
                    self._node(node)
                outputs = [self._value(tensor) for tensor in self._network.outputs]
                result = builder.emit_output(relax.Tuple(outputs) if as_tuple else outputs[0])
            builder.emit_func_output(result)
        module = builder.get()
        if self._main.attrs is not None:
            module["main"] = module["main"].with_attrs(self._main.attrs)
        return module

    def _value(self, tensor: Tensor) -> Any:
        if tensor not in self._values:
            assert tensor.data is not None, "a tensor is used before it is computed"
            self._values[tensor] = _constant(tensor.data)
        return self._values[tensor]

    def _node(self, node: Node) -> None:
        match node.op:
            case ops.Foreign(call, given):
                inputs = iter(node.inputs)
                arguments = [self._argument(argument, inputs) for argument in given]
                result = relax.Call(call.op, arguments, call.attrs, call.ty_args)
                self._bind(node.outputs, self._builder.emit(result), isinstance(call.ty, relax.TupleType))
            case ops.Reshape():
                data = self._value(node.inputs[0])
                self._bind(node.outputs, self._builder.emit(relax.op.reshape(data, node.output.shape)), False)
            case ops.Part(begin):
                data, end = self._value(node.inputs[0]), begin + node.output.shape[0]
                self._bind(
                    node.outputs, self._builder.emit(relax.op.strided_slice(data, [0], [begin], [end])), False
                )
            case ops.Join():
                parts = [self._value(tensor) for tensor in node.inputs]
                self._bind(node.outputs, self._builder.emit(relax.op.concat(parts, 0)), False)
            case _:
                self._kernel(node)

    def _argument(self, argument: Any, inputs: Any) -> Any:
        """An argument of a foreign call, with the tensors in it replaced by what they are now."""
        if isinstance(argument, tvm.ir.GlobalVar):
            return argument
        if isinstance(argument, relax.Tuple):
            return relax.Tuple([self._argument(field, inputs) for field in argument.fields])
        if isinstance(argument.ty, relax.TensorType):
            return self._value(next(inputs))
        if isinstance(argument.ty, relax.TupleType):
            return relax.Tuple([self._value(next(inputs)) for _ in argument.ty.fields])
        return argument

    def _kernel(self, node: Node) -> None:
        key = (node.op, *((tensor.shape, tensor.dtype) for tensor in (*node.inputs, *node.outputs)))
        if key not in self._kernels:
            lowered = self._lower(node.op, node.inputs, node.outputs)
            name = self._builder.add_func(lowered.func, kernel_name(node))
            self._kernels[key] = lowered, name
        lowered, name = self._kernels[key]
        types = [relax.TensorType(tensor.shape, tensor.dtype) for tensor in node.outputs]
        types += [relax.TensorType((size,), "float32") for size in lowered.scratch]
        arguments = [self._value(tensor) for tensor in node.inputs]
        call = self._builder.emit(relax.call_tir(name, arguments, types if len(types) > 1 else types[0]))
        self._bind(node.outputs, call, len(types) > 1)

    def _bind(self, outputs: Sequence[Tensor], value: Any, is_tuple: bool) -> None:
        for position, tensor in enumerate(outputs):
            self._values[tensor] = self._builder.emit(value[position]) if is_tuple else value


def _constant(data: Array) -> Any:
    """A Relax constant that shares the memory of an array, or of its contiguous copy. TVM shares no memory
    that is read-only."""
    data = aligned(np.asarray(data))  # numpy makes scalars of what has no axes
    return relax.const(tvm.runtime.from_dlpack(data) if data.flags.writeable else tvm.runtime.tensor(data))
