"""Pointwise programs, and those with reductions between: softmax, normalisations, sums.

A row is what one reduction runs over. All its passes follow each other while it is in cache. If the reduced
axes include the last one, the lanes of a vector are neighbours in the row and are combined at its end;
otherwise they are neighbouring rows, and never meet. Each sum has several accumulators, so that one addition
need not wait for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tvm import tirx

from converters.schedules.cpu.elements import Operand, collapse
from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, splat
from converters.schedules.cpu.pointwise import FUNCTIONS
from converters.schedules.cpu.tiles import runs
from converters.schedules.network.program import Program, Step

UNROLL = 4

# What is worth keeping from one pass for the next.
COSTLY = frozenset(
    (
        "exp",
        "log",
        "tanh",
        "erf",
        "sigmoid",
        "silu",
        "gelu",
        "gelu_tanh",
        "power",
        "power_of",
        "sqrt",
        "rsqrt",
    )
)

IDENTITY = {"sum": 0.0, "prod": 1.0, "max": float("-inf"), "min": float("inf")}
COMBINE: dict[str, Callable[[Expr, Expr], Expr]] = {
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "max": tirx.max,
    "min": tirx.min,
}


def emit(kernel: Kernel, program: Program, inputs: Sequence[Operand], outputs: Sequence[Operand]) -> None:
    """Writes the loops; the operands' strides are over the axes of `program.shape`."""
    reduced = [axis in program.axes for axis in range(len(program.shape))]
    strides = [operand.strides for operand in (*inputs, *outputs)]
    loops = collapse(program.shape, reduced, strides)
    operands = [
        Operand(operand.buffer, steps, operand.begin)
        for operand, steps in zip((*inputs, *outputs), loops.strides, strict=True)
    ]
    split = len(inputs)
    nest = _Nest(
        kernel, program, loops.extents, loops.reduced, operands[:split], operands[split:], _plan(program)
    )
    nest.emit()


@dataclass(frozen=True)
class _Plan:
    """`level`: how many passes a value waits for. `kept`: values stored in an output until the last pass."""

    passes: int
    level: tuple[int, ...]
    reduced: tuple[bool, ...]
    kept: dict[int, int]


def _plan(program: Program) -> _Plan:
    level = [0] * len(program.inputs)
    for step in program.steps:
        level.append(max((level[i] for i in step.arguments), default=0) + bool(step.axes))
    reduced = tuple(program.is_reduced())
    passes = max(level)
    needed = _last_needed(program, level, reduced)
    first = len(program.inputs)
    costly = [
        first + i
        for i, step in enumerate(program.steps)
        if step.name in COSTLY and not reduced[first + i] and needed[first + i] > level[first + i]
    ]
    whole = [i for i, result in enumerate(program.results) if not reduced[result]]
    kept = dict(zip((i for i in costly if i not in program.results), whole, strict=False))
    return _Plan(passes, tuple(level), reduced, kept)


def _last_needed(program: Program, level: list[int], reduced: Sequence[bool]) -> list[int]:
    """After how many reductions each value that is not reduced is last needed; -1 if never."""
    first = len(program.inputs)
    needed = [-1] * len(level)
    for result in program.results:
        needed[result] = max(level)
    for i, step in reversed(list(enumerate(program.steps))):
        number = first + i
        when = level[number] - 1 if step.axes else needed[number]
        if step.axes or not reduced[number]:
            for argument in step.arguments:
                needed[argument] = max(needed[argument], when)
    return needed


@dataclass(frozen=True)
class _Place:
    """A position, and how many lanes are there; `count`: how many of these are elements."""

    index: tuple[Expr, ...]
    lanes: int
    count: int | None
    slot: int = 0


@dataclass
class _Nest:
    kernel: Kernel
    program: Program
    extents: tuple[int, ...]
    reduced: tuple[bool, ...]
    inputs: Sequence[Operand]
    outputs: Sequence[Operand]
    plan: _Plan
    totals: dict[int, Expr] = field(default_factory=dict)
    """Reduced values of the current row: scalars, or vectors if the lanes are rows."""

    def emit(self) -> None:
        last = len(self.extents) - 1
        pointwise = not any(self.reduced)
        self.inner = [last] if pointwise else [axis for axis in range(last + 1) if self.reduced[axis]]
        self.along = last in self.inner
        """Whether the lanes are neighbours in a row."""
        outer = [axis for axis in range(last + 1) if axis not in self.inner]
        looped = outer if self.along else outer[:-1]
        extents = [self.extents[axis] for axis in looped]
        with self.kernel.nest(extents, "o" * len(extents), well=not self.along) as positions:
            index: list[Expr] = [0] * (last + 1)
            for axis, position in zip(looped, positions, strict=True):
                index[axis] = position
            if self.along:
                self._row(_Place(tuple(index), 1, None))
                return
            lanes = self.kernel.lanes
            for run in runs(self.extents[last], lanes):
                with self.kernel.nest((run.count,), "v") as (number,):
                    index[last] = run.begin + number * lanes
                    self._row(_Place(tuple(index), lanes, run.size))

    def _row(self, row: _Place) -> None:
        self.totals = {}
        for number, operand in enumerate(self.inputs):
            if self.plan.reduced[number]:
                value = operand.load(self.kernel, row.index, row.lanes, row.count)
                self.totals[number] = self.kernel.bind(value)
        self._reduced_values(row, 0)
        for number in range(1, self.plan.passes + 1):
            self._pass(row, number)
            self._reduced_values(row, number)
        self._finish(row)

    def _pass(self, row: _Place, number: int) -> None:
        """The reductions of one level, and what is kept of it."""
        first = len(self.program.inputs)
        steps = {
            first + i: step
            for i, step in enumerate(self.program.steps)
            if step.axes and self.plan.level[first + i] == number
        }
        keep = [i for i in self.plan.kept if self.plan.level[i] == number - 1]
        lanes = self.kernel.lanes
        sums = {i: [self.kernel.local(lanes) for _ in range(UNROLL)] for i in steps}
        for i, step in steps.items():
            for total in sums[i]:
                self.kernel.store(total, (0,), splat(IDENTITY[step.name], lanes))

        def visit(place: _Place) -> None:
            known: dict[int, Expr] = {}
            for i, step in steps.items():
                value = self._value(step.arguments[0], place, known, number - 1)
                if self.along and place.count is not None:
                    value = self._only(value, place.count, IDENTITY[step.name])
                before = self.kernel.load(sums[i][place.slot], (0,), lanes)
                self.kernel.store(sums[i][place.slot], (0,), COMBINE[step.name](before, value))
            for i in keep:
                output = self.outputs[self.plan.kept[i]]
                output.store(self.kernel, place.index, self._value(i, place, known, number - 1), place.count)

        self._sweep(row, UNROLL, visit)
        for i, step in steps.items():
            self.totals[i] = self.kernel.bind(self._combined(sums[i], step.name))

    def _combined(self, sums: list[Buffer], name: str) -> Expr:
        values = [self.kernel.load(total, (0,), self.kernel.lanes) for total in sums]
        while len(values) > 1:
            values = [COMBINE[name](a, b) for a, b in zip(values[::2], values[1::2], strict=True)]
        if not self.along:
            return values[0]
        value, lanes = self.kernel.bind(values[0]), self.kernel.lanes
        while lanes > 1:
            lanes //= 2
            halves = [
                tirx.Shuffle([value], [tirx.IntImm("int32", begin + i) for i in range(lanes)])
                for begin in (0, lanes)
            ]
            value = self.kernel.bind(COMBINE[name](*halves))
        return value

    def _only(self, value: Expr, count: int, otherwise: float) -> Expr:
        """`value` in the first `count` lanes."""
        lanes = self.kernel.lanes
        mask = tirx.Ramp(0, 1, lanes) < splat(count, lanes, "int32")
        return tirx.Select(mask, value, splat(otherwise, lanes))

    def _finish(self, row: _Place) -> None:
        results = list(zip(self.program.results, self.outputs, strict=True))
        for result, output in results:
            if self.plan.reduced[result]:
                output.store(self.kernel, row.index, self.totals[result], row.count)
        whole = [(result, output) for result, output in results if not self.plan.reduced[result]]
        if not whole:
            return

        def visit(place: _Place) -> None:
            known: dict[int, Expr] = {}
            values = [self._value(result, place, known, self.plan.passes) for result, _ in whole]
            for value, (_, output) in zip(values, whole, strict=True):
                output.store(self.kernel, place.index, value, place.count)

        self._sweep(row, UNROLL if len(self.program.steps) <= UNROLL else 1, visit)

    def _sweep(self, row: _Place, unroll: int, visit: Callable[[_Place], None]) -> None:
        """Visits a row's elements."""
        with ExitStack() as loops:
            index = list(row.index)
            for axis in self.inner[:-1]:
                index[axis] = loops.enter_context(self.kernel.loop(self.extents[axis], name="r"))
            axis = self.inner[-1]
            step = self.kernel.lanes if self.along else 1
            vectors, rest = divmod(self.extents[axis], step)
            for run in runs(vectors, min(unroll, vectors)) if vectors else ():
                with self._elements(run.count) as number:
                    for slot in range(run.size):
                        index[axis] = (run.begin + number * run.size + slot) * step
                        visit(_Place(tuple(index), self.kernel.lanes, row.count, slot))
            if rest:
                index[axis] = vectors * step
                visit(_Place(tuple(index), self.kernel.lanes, rest))

    @contextmanager
    def _elements(self, count: int) -> Iterator[Expr]:
        """A loop over elements of a row, which threads cannot share if they are summed."""
        if any(self.reduced):
            with self.kernel.loop(count, name="r") as number:
                yield number
        else:
            with self.kernel.nest((count,), "r") as (number,):
                yield number

    def _value(self, number: int, place: _Place, known: dict[int, Expr], level: int) -> Expr:
        """A value at a place, in the pass after `level` reductions."""
        if number in known:
            return known[number]
        first = len(self.program.inputs)
        if number >= first and self.program.steps[number - first].name == "constant":
            return splat(self.program.steps[number - first].parameters[0], place.lanes)
        if self.plan.reduced[number]:
            value = splat(self.totals[number], place.lanes) if self.along else self.totals[number]
        elif number < first:
            value = self.inputs[number].load(self.kernel, place.index, place.lanes, place.count)
        elif number in self.plan.kept and self.plan.level[number] < level:
            output = self.outputs[self.plan.kept[number]]
            value = output.load(self.kernel, place.index, place.lanes, place.count)
        else:
            step = self.program.steps[number - first]
            value = self._apply(step, [self._value(i, place, known, level) for i in step.arguments])
        known[number] = self.kernel.bind(value)
        return known[number]

    def _apply(self, step: Step, arguments: list[Expr]) -> Expr:
        return FUNCTIONS[step.name](self.kernel, *arguments, *step.parameters)

    def _reduced_values(self, row: _Place, level: int) -> None:
        """Computes what is reduced and follows from the first `level` reductions."""
        first = len(self.program.inputs)
        for i, step in enumerate(self.program.steps):
            number = first + i
            if self.plan.reduced[number] and not step.axes and self.plan.level[number] == level:
                arguments = [self.totals[argument] for argument in step.arguments]
                if step.name == "constant":
                    self.totals[number] = splat(step.parameters[0], row.lanes)
                else:
                    self.totals[number] = self.kernel.bind(self._apply(step, arguments))
