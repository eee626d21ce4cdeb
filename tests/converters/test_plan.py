"""Random programs are run twice: value by value, and in the memory that was planned for them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.artifact.manifest import TensorRef
from converters.graph import Call, Graph, Value
from converters.plan import outputs_to_copy, plan, with_copies


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    def pick(numbers: list[int]) -> int:
        return draw(st.sampled_from(numbers))

    values: list[Value] = []

    def new(size: int | None = None) -> int:
        values.append(Value("uint8", (size or draw(st.integers(1, 400)),)))
        return len(values) - 1

    inputs = [new() for _ in range(draw(st.integers(1, 3)))]
    constants = {new(): f"digest{i}" for i in range(draw(st.integers(0, 3)))}
    aliases: dict[int, int] = {}
    calls = []
    known = [*inputs, *constants]
    for step in range(draw(st.integers(0, 12))):
        if draw(st.booleans()) and draw(st.booleans()):
            source = pick(known)
            number = new(values[source].shape[0])
            aliases[number] = aliases.get(source, source)
            known.append(number)
        reads = tuple(pick(known) for _ in range(draw(st.integers(0, 3))))
        writes = tuple(new() for _ in range(draw(st.integers(1, 2))))
        scratch = tuple(new() for _ in range(draw(st.integers(0, 1))))
        calls.append(Call(f"kernel{step}", reads, writes, scratch))
        known.extend(writes)
    outputs = tuple(pick(known) for _ in range(draw(st.integers(1, 4))))
    graph = Graph(tuple(values), tuple(inputs), outputs, constants, aliases, tuple(calls))
    return with_copies(graph, dict.fromkeys(outputs_to_copy(graph), "copy"))


def result(kernel: str, reads: tuple[Any, ...], index: int) -> Any:
    """What a kernel writes, as a value that tells its whole history. A copy is what it copies."""
    return reads[0] if kernel == "copy" else (kernel, reads, index)


def expected(graph: Graph) -> list[Any]:
    held: dict[int, Any] = {number: ("input", i) for i, number in enumerate(graph.inputs)}
    held.update({number: ("weight", digest) for number, digest in graph.constants.items()})
    for call in graph.calls:
        reads = tuple(held[graph.root(number)] for number in call.reads)
        held.update({number: result(call.kernel, reads, i) for i, number in enumerate(call.writes)})
    return [held[graph.root(number)] for number in graph.outputs]


class Bytes:
    """The four memories, each byte remembering what was written over it."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, int, int], Any] = {}

    def cells_of(self, tensor: TensorRef) -> list[tuple[str, int, int]]:
        return [(tensor.space, tensor.index, tensor.offset + i) for i in range(tensor.shape[0])]

    def write(self, tensor: TensorRef, value: Any) -> None:
        self.cells.update(dict.fromkeys(self.cells_of(tensor), value))

    def read(self, tensor: TensorRef) -> Any:
        (value,) = {self.cells[cell] for cell in self.cells_of(tensor)}
        return value


@given(graphs())
def test_the_plan_computes_what_the_graph_means(graph: Graph) -> None:
    weights = {f"digest{i}": (i % 2, 4096 * i) for i in range(3)}
    variant = plan(graph, 1, weights)
    memory = Bytes()
    for i, number in enumerate(graph.inputs):
        memory.write(TensorRef("input", i, 0, "uint8", graph.values[number].shape), ("input", i))
    for number, digest in graph.constants.items():
        place = TensorRef("weight", *weights[digest], "uint8", (400,))
        memory.write(place, ("weight", digest))
        assert graph.values[number].shape[0] <= 400
    for call, step in zip(graph.calls, variant.steps, strict=True):
        tensors = [variant.tensors[i] for i in step.args]
        reads = tuple(memory.read(tensor) for tensor in tensors[: len(call.reads)])
        for tensor in tensors[len(call.reads) + len(call.writes) :]:
            memory.write(tensor, "scratch")
        for i, tensor in enumerate(tensors[len(call.reads) :][: len(call.writes)]):
            assert tensor.space in ("workspace", "output")
            assert tensor.space == "output" or tensor.offset + tensor.shape[0] <= variant.workspace_bytes
            memory.write(tensor, result(call.kernel, reads, i))
    for i, (number, value) in enumerate(zip(graph.outputs, expected(graph), strict=True)):
        assert memory.read(TensorRef("output", i, 0, "uint8", graph.values[number].shape)) == value


def test_an_output_is_written_in_place() -> None:
    graph = Graph(
        (Value("float32", (4,)),) * 3, (0,), (2,), {}, {}, (Call("a", (0,), (1,)), Call("b", (1,), (2,)))
    )
    assert outputs_to_copy(graph) == ()
    variant = plan(graph, 1, {})
    assert variant.workspace_bytes == 64
    assert variant.tensors[variant.steps[1].args[1]].space == "output"


def test_inputs_constants_and_repeated_outputs_are_copied() -> None:
    values = (Value("float32", (4,)),) * 4
    graph = Graph(values, (0,), (0, 1, 2, 2, 3), {1: "w"}, {3: 2}, (Call("a", (0,), (2,)),))
    assert outputs_to_copy(graph) == (0, 1, 3, 4)


def test_parts_lie_in_what_they_are_part_of() -> None:
    """Two kernels write the halves of a value, a third reads the second half and the whole."""
    values = (
        Value("uint8", (64,)),
        *[Value("uint8", (128,))] * 2,
        Value("uint8", (256,)),
        Value("uint8", (8,)),
    )
    calls = (Call("a", (0,), (1,)), Call("b", (0,), (2,)), Call("c", (2, 3), (4,)))
    graph = Graph(values, (0,), (4,), {}, {1: 3, 2: 3}, calls, {2: 128})
    variant = plan(graph, 1, {})
    first, second, third = (variant.tensors[step.args[-1]] for step in variant.steps)
    whole = variant.tensors[variant.steps[2].args[1]]
    assert (first.space, first.offset, first.shape) == ("workspace", whole.offset, (128,))
    assert (second.offset, third.space) == (whole.offset + 128, "output")
    assert variant.steps[2].args[0] == variant.steps[1].args[1]
    assert variant.workspace_bytes == 256


def test_an_output_that_is_a_part_is_copied() -> None:
    values = (Value("uint8", (64,)), Value("uint8", (128,)), Value("uint8", (256,)))
    graph = Graph(values, (0,), (1, 2), {}, {1: 2}, (Call("a", (0,), (1,)),), {1: 64})
    assert outputs_to_copy(graph) == (0, 1)
