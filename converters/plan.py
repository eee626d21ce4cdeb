"""Memory planning: a graph of kernel calls becomes a variant, every tensor in a fixed place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from clockwork_triton.artifact.manifest import Step, TensorRef, Variant
from converters.graph import Call, Graph, Value
from converters.placement import Lifetime, place


def outputs_to_copy(graph: Graph) -> tuple[int, ...]:
    """The positions of outputs that no kernel can write in place: another output (or itself, as an input
    or a constant) already owns their memory, or they are a part of some."""
    owners: set[int] = set()
    positions = []
    for position, output in enumerate(graph.outputs):
        root = graph.root(output)
        taken = root in graph.inputs or root in graph.constants or root in owners
        if taken or graph.is_part(output):
            positions.append(position)
        owners.add(root)
    return tuple(positions)


def with_copies(graph: Graph, kernels: Mapping[int, str]) -> Graph:
    """Ends the graph with a copy for each output that needs one; `kernels` by position."""
    values = list(graph.values)
    outputs = list(graph.outputs)
    calls = list(graph.calls)
    for position, kernel in kernels.items():
        source = outputs[position]
        outputs[position] = len(values)
        calls.append(Call(kernel, (source,), (len(values),)))
        values.append(graph.values[source])
    return replace(graph, values=tuple(values), outputs=tuple(outputs), calls=tuple(calls))


def plan(graph: Graph, batch_size: int, weights: Mapping[str, tuple[int, int]]) -> Variant:
    """The program of one batch size.

    `weights`: segment and byte offset of each constant's digest. Outputs are written where they are
    wanted, everything else that kernels write goes into the workspace.
    """
    assert not outputs_to_copy(graph)
    lifetimes = _lifetimes(graph)
    offsets, workspace_bytes = place(list(lifetimes.values()))
    workspace = dict(zip(lifetimes, offsets, strict=True))
    inputs = {value: index for index, value in enumerate(graph.inputs)}
    outputs = {graph.root(value): index for index, value in enumerate(graph.outputs)}

    def tensor(value: int) -> TensorRef:
        root, spec = graph.root(value), graph.values[value]
        begin = graph.offsets.get(value, 0)
        if root in graph.constants:
            index, offset = weights[graph.constants[root]]
            return TensorRef("weight", index, offset + begin, spec.dtype, spec.shape)
        if root in inputs:
            return TensorRef("input", inputs[root], begin, spec.dtype, spec.shape)
        if root in outputs:
            return TensorRef("output", outputs[root], begin, spec.dtype, spec.shape)
        return TensorRef("workspace", 0, workspace[root] + begin, spec.dtype, spec.shape)

    tensors: dict[TensorRef, int] = {}
    steps = tuple(
        Step(
            call.kernel,
            tuple(
                tensors.setdefault(tensor(value), len(tensors))
                for value in (*call.reads, *call.writes, *call.scratch)
            ),
        )
        for call in graph.calls
    )
    return Variant(batch_size, workspace_bytes, tuple(tensors), steps)


def _lifetimes(graph: Graph) -> dict[int, Lifetime]:
    """How long each value of the workspace lives, by value, in steps."""
    elsewhere = {*graph.inputs, *graph.constants, *(graph.root(value) for value in graph.outputs)}
    lifetimes: dict[int, Lifetime] = {}
    for step, call in enumerate(graph.calls):
        for value in (*call.reads, *call.writes, *call.scratch):
            root = graph.root(value)
            if root in elsewhere:
                continue
            spec: Value = graph.values[root]
            first = lifetimes[root].first if root in lifetimes else step
            lifetimes[root] = Lifetime(spec.bytes, first, step)
    return lifetimes
