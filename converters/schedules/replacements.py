"""Operators that TVM computes wrong, or that no code for a GPU alone computes, as others.

TVM sorts and scans on a GPU by loops of the host's around its kernels. Here each result is a reduction of its
own, on a thread of its own: n² work for n elements of an axis, in one launch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import relax, te, tirx


def replace_operators(target: tvm.target.Target) -> Any:
    """The pass that replaces them, for one kind of target."""
    makers = {"relax.argmax": _first_if_none, "relax.argmin": _first_if_none}
    if target.kind.name == "cuda":
        makers |= {"relax.topk": _top, "relax.cumsum": _running_sum}

    @relax.expr_functor.mutator
    class Replacer(relax.PyExprMutator):  # type: ignore[misc]
        def visit_call_(self, call: Any) -> Any:
            call = super().visit_call_(call)
            name = call.op.name if isinstance(call.op, tvm.ir.Op) else ""
            return makers[name](self.builder_, call) if name in makers else call

    @tvm.transform.module_pass(opt_level=0, name="ReplaceOperators")  # type: ignore[untyped-decorator]
    def run(module: tvm.IRModule, _: Any) -> tvm.IRModule:
        replacer = Replacer(module)
        for variable, function in module.functions_items():
            if isinstance(function, relax.Function):
                replacer.builder_.update_func(variable, replacer.visit_expr(function))
        return replacer.builder_.get()

    return run


def _first_if_none(builder: Any, call: Any) -> Any:
    """TVM's search begins with the lowest finite number at place -1, which infinities do not exceed: where it
    found none, the first one is what ONNX wants."""
    found = builder.emit(builder.normalize(call))
    return relax.op.maximum(found, relax.const(0, str(call.ty.dtype)))


def _top(builder: Any, call: Any) -> Any:
    """The k largest or smallest, by how many others come before each element."""
    attributes = call.attrs
    shape = [int(n) for n in call.args[0].ty.shape]
    axis = int(attributes.axis) % len(shape)
    k = int(attributes.k) if int(attributes.k) > 0 else shape[axis]
    largest = bool(attributes.largest)

    def ranks(x: te.Tensor) -> te.Tensor:
        def rank(*at: Any) -> Any:
            j = te.reduce_axis((0, shape[axis]), "j")
            other, own = x(*_moved(at, axis, j)), x(*at)
            before = other > own if largest else other < own
            tie = tirx.all(other == own, j < at[axis])
            return te.sum(tirx.Select(tirx.any(before, tie), 1, 0), axis=j)

        return te.compute(shape, rank, "ranks")

    def places(ranked: te.Tensor) -> te.Tensor:
        def place(*at: Any) -> Any:
            j = te.reduce_axis((0, shape[axis]), "j")
            # Several NaNs have one rank, and another rank has none: that one takes a place inside, too.
            return te.max(tirx.Select(ranked(*_moved(at, axis, j)) == at[axis], j, 0), axis=j)

        return te.compute(_moved(shape, axis, k), place, "places")

    def values(x: te.Tensor, chosen: te.Tensor) -> te.Tensor:
        return te.compute(_moved(shape, axis, k), lambda *at: x(*_moved(at, axis, chosen(*at))), "values")

    data = call.args[0]
    chosen = _emit(builder, places, _emit(builder, ranks, data))
    results = {
        "values": lambda: _emit(builder, values, data, chosen),
        "indices": lambda: builder.emit(relax.op.astype(chosen, str(attributes.dtype))),
    }
    kind = str(attributes.ret_type)
    return relax.Tuple([results[name]() for name in results]) if kind == "both" else results[kind]()


def _running_sum(builder: Any, call: Any) -> Any:
    attributes = call.attrs
    if attributes.axis is None:
        return call
    shape = [int(n) for n in call.args[0].ty.shape]
    axis = int(attributes.axis) % len(shape)
    dtype = str(call.ty.dtype)
    exclusive = bool(attributes.exclusive)

    def sums(x: te.Tensor) -> te.Tensor:
        def total(*at: Any) -> Any:
            j = te.reduce_axis((0, shape[axis]), "j")
            counts = j < at[axis] if exclusive else j <= at[axis]
            zero = tirx.const(0, dtype)
            return te.sum(tirx.Select(counts, x(*_moved(at, axis, j)).astype(dtype), zero), axis=j)

        return te.compute(shape, total, "sums")

    return _emit(builder, sums, call.args[0])


def _emit(builder: Any, make: Callable[..., te.Tensor], *arguments: Any) -> Any:
    """A call of the kernel that computes what `make` makes of the arguments."""
    from tvm.s_tir import dlight

    given = [te.placeholder(x.ty.shape.values, x.ty.dtype, f"x{i}") for i, x in enumerate(arguments)]
    made = make(*given)
    module = tvm.IRModule({"main": te.create_prim_func([*given, made])})
    with tvm.target.Target.current(allow_none=False):
        scheduled = dlight.ApplyDefaultSchedule(dlight.gpu.Fallback())(module)["main"]
    kernel = scheduled.without_attr("global_symbol").with_attr("op_pattern", 8)
    variable = builder.add_func(kernel, make.__name__)
    return builder.emit(relax.call_tir(variable, arguments, relax.TensorType(made.shape, made.dtype)))


def _moved(at: Sequence[Any], axis: int, place: Any) -> list[Any]:
    """The position with another place on one axis."""
    return [*at[:axis], place, *at[axis + 1 :]]
