"""Relax to a graph of compiled kernels' calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, te, tirx

from clockwork_triton.datatypes import NUMPY_TO_WIRE
from converters import schedules
from converters.graph import Call, Graph, Value
from converters.kernels import KernelSet
from converters.plan import outputs_to_copy, with_copies
from converters.request import ConversionError

# So that what a pass of ours says comes out of TVM as it was said.
tvm_ffi.register_error("ConversionError", ConversionError)

StoreConstant = Callable[[Any], str]


def lower(module: tvm.IRModule, kernels: KernelSet, store: StoreConstant) -> Graph:
    """Schedules an imported module, adds its kernels to `kernels` and hands its constants to `store`
    (a TVM tensor to a digest). The graph's calls name the kernels."""
    try:
        with kernels.target:
            tuned = kernels.tuner.lower if kernels.tuner is not None else None
            module = schedules.pipeline(kernels.target, kernels.precision, tuned, kernels.trials)(module)
    except ConversionError:
        raise
    except Exception as error:  # whatever a pass of TVM stumbles upon
        raise ConversionError(f"TVM cannot compile the model: {error}") from error
    graph = _Walk(module, kernels, store).graph()
    copies = {
        position: kernels.add(*copy_kernel(graph.values[graph.outputs[position]], kernels.target))
        for position in outputs_to_copy(graph)
    }
    return with_copies(graph, copies)


def copy_kernel(value: Value, target: tvm.target.Target) -> tuple[tirx.PrimFunc, str]:
    """A kernel that copies a tensor, and a name for it."""
    source = te.placeholder(value.shape, value.dtype, "source")
    copied = te.compute(value.shape, lambda *index: source[index], "copied")
    func = te.create_prim_func([source, copied])
    if target.kind.name == "cuda":
        from tvm.s_tir import dlight

        with target:
            func = dlight.ApplyDefaultSchedule(dlight.gpu.Fallback())(tvm.IRModule({"main": func}))["main"]
    return func, "copy"


class _Walk:
    """Reads the bindings of a lowered `main` in order."""

    def __init__(self, module: tvm.IRModule, kernels: KernelSet, store: StoreConstant) -> None:
        self._module = module
        self._kernels = kernels
        self._store = store
        self._values: list[Value] = []
        self._constants: dict[int, str] = {}
        self._places: dict[int, tuple[int, int]] = {}
        """The value whose bytes a value is, and where in them it begins; that can be an alias itself."""
        self._calls: list[Call] = []
        self._bound: dict[Any, tuple[int, ...]] = {}

    def graph(self) -> Graph:
        main = self._module["main"]
        for parameter in main.params:
            self._bound[parameter] = self._new(parameter.ty)
        inputs = tuple(self._bound[parameter][0] for parameter in main.params)
        for block in main.body.blocks:
            for binding in block.bindings:
                self._bound[binding.var] = self._expression(binding.value)
        outputs = self._expression(main.body.body)
        places = {value: self._place(value) for value in self._places}
        return Graph(
            tuple(self._values),
            inputs,
            outputs,
            self._constants,
            {value: root for value, (root, _) in places.items()},
            tuple(self._calls),
            {value: offset for value, (_, offset) in places.items() if offset},
        )

    def _place(self, value: int) -> tuple[int, int]:
        """The value, no alias, that owns a value's memory, and at which byte it begins there."""
        begin = 0
        while value in self._places:
            value, offset = self._places[value]
            begin += offset
        return value, begin

    def _new(self, ty: Any) -> tuple[int, ...]:
        """Numbers for the tensor or tensors of a type."""
        if isinstance(ty, relax.TupleType):
            return tuple(number for field in ty.fields for number in self._new(field))
        self._values.append(_value(ty))
        return (len(self._values) - 1,)

    def _expression(self, expression: Any) -> tuple[int, ...]:
        """The values an expression stands for: one, or a tuple's."""
        if isinstance(expression, relax.Var) and expression in self._bound:
            return self._bound[expression]
        if isinstance(expression, tvm.ir.GenericConst):
            return self._constant(expression)
        if isinstance(expression, relax.Tuple):
            return tuple(number for field in expression.fields for number in self._expression(field))
        if isinstance(expression, relax.TupleGetItem):
            return (self._expression(expression.tuple_value)[expression.index],)
        if isinstance(expression, relax.Call):
            return self._call(expression)
        raise ConversionError(f"TVM computes '{expression}' at run time, for which there is no kernel")

    def _constant(self, constant: Any) -> tuple[int, ...]:
        (number,) = self._new(constant.ty)
        self._constants[number] = self._store(constant.data if hasattr(constant, "data") else constant.value)
        return (number,)

    def _call(self, call: Any) -> tuple[int, ...]:
        name = call.op.name if isinstance(call.op, tvm.ir.Op) else str(call.op)
        if name == "relax.call_tir":
            return self._kernel(call)
        if name in ("relax.reshape", "relax.strided_slice"):
            (source,) = self._expression(call.args[0])
            (number,) = self._new(call.ty)
            self._places[number] = source, self._begin(call, number, source)
            return (number,)
        if name == "relax.concat":
            return self._joined(call)
        raise ConversionError(f"TVM has no kernel for '{_called(call, name)}'{self._elsewhere()}")

    def _elsewhere(self) -> str:
        """What to do where a GPU's kernels are fewer."""
        if self._kernels.target.kind.name != "cuda":
            return ""
        return " on a GPU: serve the model on the CPU (instance_group { kind: KIND_CPU })"

    def _begin(self, call: Any, number: int, source: int) -> int:
        """At which byte of its source the result of a reshape or of a slice begins. The schedules leave
        slices only of the first axis, which are one piece of memory."""
        if call.op.name == "relax.reshape":
            assert self._values[number].bytes == self._values[source].bytes
            return 0
        axes, begins = call.args[1].fields, call.args[2].fields
        assert [int(axis) for axis in axes] == [0]
        return int(begins[0]) * (self._values[source].bytes // self._values[source].shape[0])

    def _joined(self, call: Any) -> tuple[int, ...]:
        """Parts along the first axis are written where they belong: the schedules leave only such."""
        assert int(call.attrs.axis) == 0
        parts = self._expression(call.args[0])
        (number,) = self._new(call.ty)
        begin = 0
        for part in parts:
            root, offset = self._place(part)
            assert offset == 0
            assert self._values[root].bytes == self._values[part].bytes
            assert root not in self._constants
            self._places[root] = number, begin
            begin += self._values[part].bytes
        return (number,)

    def _kernel(self, call: Any) -> tuple[int, ...]:
        function, arguments = call.args[0], call.args[1]
        reads = self._expression(arguments)
        writes = self._new(call.ty)
        prim_func = self._module[function]
        wanted = [tuple(int(dim) for dim in buffer.shape) for buffer in prim_func.params]
        given = [self._values[number].shape for number in (*reads, *writes)]
        assert wanted == given, f"{function.name_hint} takes {wanted}, and is called with {given}"
        kernel = self._kernels.add(prim_func, function.name_hint)
        scratch = []
        for value in self._kernels.scratch[kernel]:
            scratch.append(len(self._values))
            self._values.append(value)
        self._calls.append(Call(kernel, reads, writes, tuple(scratch)))
        return writes


def _called(call: Any, name: str) -> str:
    """The operator, or the function of the host's that is to do its work."""
    if name in ("relax.call_packed", "relax.call_pure_packed", "relax.call_dps_packed"):
        return str(call.args[0].global_symbol)
    return name.removeprefix("relax.")


def _value(ty: Any) -> Value:
    if not isinstance(ty, relax.TensorType) or ty.shape is None:
        raise ConversionError("the shape of a tensor depends on the values of the inputs")
    if not all(isinstance(dim, tirx.IntImm) for dim in ty.shape):
        raise ConversionError(f"the shape {ty.shape} of a tensor depends on the values of the inputs")
    dtype = str(ty.dtype)
    if dtype not in NUMPY_TO_WIRE:
        raise ConversionError(f"tensors of {dtype} are not supported")
    return Value(dtype, tuple(int(dim) for dim in ty.shape))
