"""Which convolutions are worth their fast algorithm, whose weight is several times larger.

Decided without the batch size, so that all batch sizes share one weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from converters.schedules.cpu.toom import POINTS
from converters.schedules.cpu.winograd import TAPS
from converters.schedules.machine import Machine
from converters.schedules.network import ops
from converters.schedules.network.graph import Network, Node

# All weights together may grow by this share, or by so many bytes: they must be loaded before they are used.
GROWTH = 0.25
SMALL = 16 << 20

# Bytes of weight that a core reads in the time of one fused multiply-add of vectors.
STREAMED = 5

# Vector instructions to evaluate or interpolate a square, for each of its points.
TRANSFORM = 6

# Less than this share of time saved is not worth larger weights.
WORTHWHILE = 0.15


@dataclass(frozen=True)
class _Option:
    """`outputs` 0: the direct algorithm. Time in multiply-adds of vectors, for one image."""

    outputs: int
    time: float
    bytes: int


def choose_algorithms(network: Network, machine: Machine) -> dict[Node, int]:
    """For the convolutions that gain most by byte: how many outputs a square of theirs is wide."""
    options = {node: _options(node, machine) for node in network.nodes if _qualifies(node, machine)}
    weights = {tensor for node in network.nodes for tensor in node.inputs if tensor.data is not None}
    budget = max(GROWTH * sum(tensor.bytes for tensor in weights), SMALL)
    steps = []
    for position, found in enumerate(options.values()):
        for before, after in pairwise(found):
            saved, grown = before.time - after.time, after.bytes - before.bytes
            steps.append((-saved / grown, position, grown, after.outputs))
    chosen: dict[Node, int] = {}
    nodes = list(options)
    for _, position, grown, outputs in sorted(steps):
        if grown <= budget:
            budget -= grown
            chosen[nodes[position]] = outputs
    return chosen


def _qualifies(node: Node, machine: Machine) -> bool:
    if not isinstance(node.op, ops.Convolve) or node.op.groups != 1:
        return False
    ones = (1,) * len(node.op.strides)
    _, weight, *_ = node.inputs
    small = min(weight.shape[:2]) < machine.lanes
    plain = node.op.strides == node.op.dilations == ones and max(node.op.pads) < TAPS
    return weight.shape[2:] == (TAPS, TAPS) and plain and not small


def _options(node: Node, machine: Machine) -> list[_Option]:
    """From the direct algorithm on, each faster and larger, and gaining less by byte, than the one before."""
    weight = node.inputs[1]
    filters, channels = weight.shape[:2]
    inputs, outputs = machine.blocks(channels), machine.blocks(filters)
    pixels = node.output.shape[2] * node.output.shape[3]
    found = [_Option(0, _time(pixels * TAPS**2 * channels * outputs, 0, weight.bytes), weight.bytes)]
    for size in sorted(POINTS):
        points = (size + TAPS - 1) ** 2
        squares = -(-node.output.shape[2] // size) * -(-node.output.shape[3] // size)
        grown = weight.bytes * points // TAPS**2
        transforms = squares * points * TRANSFORM * (inputs + outputs)
        option = _Option(size, _time(squares * points * channels * outputs, transforms, grown), grown)
        if option.time < found[-1].time * (1 - WORTHWHILE):
            found.append(option)
    while len(found) == 3 and _rate(found[1], found[2]) > _rate(found[0], found[1]):
        del found[1]
    return found


def _time(products: int, others: int, weight: int) -> float:
    return max(products, weight / STREAMED) + others


def _rate(before: _Option, after: _Option) -> float:
    return (before.time - after.time) / (after.bytes - before.bytes)
