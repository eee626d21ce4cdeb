"""Writes a kernel statement by statement: loops, vectors, accumulators.

The templates know every loop bound and every tile when they run, so they write final code instead of
scheduling a naive one: it compiles in a few hundredths of a second, and what is in a register is decided
here and not by a heuristic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from tvm import s_tir, tirx
from tvm.ir import Constant, TensorLoad
from tvm.tirx import op

from converters.schedules.machine import Machine

Expr = Any
"""A TIR expression, or the int or float that it is."""
Buffer = Any
Index = Sequence[Expr]


class Sink(Protocol):
    """What a template hands its results to."""

    def __call__(self, value: Expr, index: Sequence[Expr], count: int | None = None) -> None:
        """Takes the value, or of a vector the first `count` lanes, at `index` of the output."""

    def prefetch(self, index: Sequence[Expr]) -> None:
        """Says that a value for `index` will come."""


class Kernel:
    """A PrimFunc under construction."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.lanes = machine.lanes
        self.thread: Expr = 0
        """The number of the thread that runs what is written now."""
        self.is_shared = False
        """Whether threads share a loop around what is written now."""
        self._parameters: list[Buffer] = []
        self._blocks: list[list[Any]] = [[]]

    def parameter(self, shape: Sequence[int], dtype: str = "float32", name: str = "x") -> Buffer:
        """The next argument, a tensor."""
        buffer = tirx.decl_buffer(tuple(shape), dtype, f"{name}{len(self._parameters)}")
        self._parameters.append(buffer)
        return buffer

    def finish(self) -> tirx.PrimFunc:
        """The function. It is marked as scheduled, and opaque to fusion."""
        assert len(self._blocks) == 1
        block = s_tir.SBlock([], [], [], "root", _sequence(self._blocks[0]))
        func = tirx.PrimFunc(self._parameters, s_tir.SBlockRealize([], True, block))
        return func.with_attrs({"tirx.is_scheduled": True, "op_pattern": 8, "tirx.noalias": True})

    def emit(self, statement: Any) -> None:
        self._blocks[-1].append(statement)

    @contextmanager
    def loop(self, extent: Expr, begin: Expr = 0, name: str = "i") -> Iterator[Expr]:
        """`extent` iterations from `begin`; a single one is no loop."""
        if isinstance(extent, int) and extent == 1:
            yield begin
            return
        variable = tirx.Var(name, "int32")
        self._blocks.append([])
        yield variable
        body = _sequence(self._blocks.pop())
        if not (isinstance(extent, int) and extent == 0):
            self.emit(tirx.For(variable, begin, extent, tirx.ForKind.SERIAL, body))

    @contextmanager
    def nest(self, extents: Sequence[int], names: str, *, well: bool = False) -> Iterator[list[Expr]]:
        """Loops within each other, whose iterations write apart and may run in any order.

        `names`: a letter each. The machine's threads share out the outermost loop that divides well among
        them, or unless `well` is asked for the one that divides best, each a run of iterations that is always
        the same; but not if they share one around it already.
        """
        chosen = self._divided(extents, well)
        with ExitStack() as loops:
            yield [
                loops.enter_context(
                    self._shared(extent, name) if axis == chosen else self.loop(extent, name=name)
                )
                for axis, (extent, name) in enumerate(zip(extents, names, strict=True))
            ]

    def _divided(self, extents: Sequence[int], well: bool) -> int | None:
        if self.machine.threads == 1 or self.is_shared or max(extents, default=1) == 1:
            return None
        good = [axis for axis, extent in enumerate(extents) if self.machine.divides_well(extent)]
        if good or well:
            return good[0] if good else None
        return max(range(len(extents)), key=lambda axis: self.machine.balance(extents[axis]))

    @contextmanager
    def _shared(self, extent: int, name: str) -> Iterator[Expr]:
        size = -(-extent // self.machine.threads)
        threads = -(-extent // size)
        thread, variable = tirx.Var("thread", "int32"), tirx.Var(name, "int32")
        self._blocks.append([])
        self.thread, self.is_shared = thread, True
        # TVM loses where a loop begins that neither begins at a constant nor has a constant length.
        begin = thread * size
        yield begin + variable
        self.thread, self.is_shared = 0, False
        count = size if threads * size == extent else tirx.min(size, extent - begin)
        part = tirx.For(variable, 0, count, tirx.ForKind.SERIAL, _sequence(self._blocks.pop()))
        self.emit(tirx.For(thread, 0, threads, tirx.ForKind.PARALLEL, part))

    @contextmanager
    def when(self, condition: Expr) -> Iterator[None]:
        """The statements run only if `condition` holds."""
        self._blocks.append([])
        yield
        self.emit(tirx.IfThenElse(condition, _sequence(self._blocks.pop()), None))

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """The statements run only if the condition of the `when` before does not hold."""
        before = self._blocks[-1].pop()
        assert isinstance(before, tirx.IfThenElse)
        self._blocks.append([])
        yield
        body = _sequence(self._blocks.pop())
        self.emit(tirx.IfThenElse(before.condition, before.then_case, body))

    def bind(self, value: Expr, name: str = "t") -> Expr:
        """`value`, computed once however often the result is used."""
        if isinstance(value, int | float | Constant | tirx.Var):
            return value
        if isinstance(value, TensorLoad | tirx.Broadcast):
            variable = tirx.Var(name, value.ty)
            self.emit(tirx.Bind(variable, value))
            return variable
        # TVM's analysis unfolds a variable that is bound to arithmetic wherever it occurs; not so memory,
        # which LLVM turns into a register again.
        lanes = lanes_of(value)
        buffer = self.local(lanes, _element(value), name)
        self.store(buffer, (0,), value)
        return self.load(buffer, (0,), lanes)

    def local(self, size: int, dtype: str = "float32", name: str = "acc") -> Buffer:
        """Private memory. Up to a vector it lives in a register if every index into it is constant."""
        buffer = tirx.decl_buffer((size,), dtype, name, scope="global")
        self.emit(tirx.AllocBuffer(buffer))
        return buffer

    def store(self, buffer: Buffer, index: Index, value: Expr, count: int | None = None) -> None:
        """Stores a scalar or, beginning at `index`, a vector, of which only the first `count` lanes."""
        lanes = lanes_of(value)
        if lanes == 1:
            self.emit(tirx.BufferStore(buffer, value, list(index)))
        elif count is None or count == lanes:
            self.emit(tirx.BufferStore(buffer, value, self._ramp(index, lanes)))
        else:
            call = op.masked_store(buffer, value, *self._ramp(index, lanes), self._mask(count, lanes))
            self.emit(tirx.Evaluate(call))

    def load(
        self, buffer: Buffer, index: Index, lanes: int = 1, count: int | None = None, stride: int = 1
    ) -> Expr:
        """A scalar, or the vector that begins at `index`, of which lanes from `count` on are zero.

        `stride`: how many elements lie between the lanes.
        """
        if lanes == 1:
            return tirx.BufferLoad(buffer, list(index))
        if count is None or count == lanes:
            return tirx.BufferLoad(buffer, self._ramp(index, lanes, stride))
        if stride != 1:
            elements = [self.load(buffer, (*index[:-1], index[-1] + i * stride)) for i in range(count)]
            zeros = [tirx.const(0, buffer.dtype)] * (lanes - count)
            return tirx.Shuffle(elements + zeros, [tirx.IntImm("int32", i) for i in range(lanes)])
        dtype = f"{buffer.dtype}x{lanes}"
        return op.masked_load(dtype, buffer, *self._ramp(index, lanes), self._mask(count, lanes))

    def prefetch(self, buffer: Buffer, index: Index) -> None:
        """Asks for the cache line of an element, which need not exist."""
        address = op.address_of(self.load(buffer, index))
        hint = [tirx.IntImm("int32", value) for value in (0, 3, 1)]
        self.emit(tirx.Evaluate(op.call_llvm_intrin("void", "llvm.prefetch", address, *hint)))

    def fma(self, a: Expr, b: Expr, c: Expr) -> Expr:
        """a * b + c, rounded once where the machine can."""
        return op.fma(a, b, c) if self.machine.fma else a * b + c

    @staticmethod
    def _ramp(index: Index, lanes: int, stride: int = 1) -> list[Expr]:
        return [*index[:-1], tirx.Ramp(index[-1], stride, lanes)]

    @staticmethod
    def _mask(count: int, lanes: int) -> Expr:
        return tirx.Ramp(0, 1, lanes) < tirx.Broadcast(tirx.IntImm("int32", count), lanes)


def splat(value: Expr, lanes: int, dtype: str = "float32") -> Expr:
    """A vector with `value` in every lane."""
    if isinstance(value, int | float):
        value = tirx.const(value, dtype)
    return value if lanes == 1 else tirx.Broadcast(value, lanes)


def maximum(a: Expr, b: Expr) -> Expr:
    """Of indices."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else tirx.max(a, b)


def minimum(a: Expr, b: Expr) -> Expr:
    """Of indices."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else tirx.min(a, b)


def lanes_of(value: Expr) -> int:
    return int(value.ty.dtype.lanes) if hasattr(value.ty, "dtype") else 1


def _element(value: Expr) -> str:
    """The type of a value's lanes."""
    return str(value.ty.dtype).split("x")[0]


def _sequence(statements: list[Any]) -> Any:
    if not statements:
        return tirx.Evaluate(0)
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)
