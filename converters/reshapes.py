"""Makes every node that only renames dimensions a Reshape of the tensor that was last computed.

Reshape, Flatten, Squeeze, Unsqueeze and a Transpose that moves only dimensions of size 1 leave the bytes as
they are. As one Reshape each they are never computed: the plan gives both shapes the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from converters.source import Array

_RENAMING = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
# Reshape took its target as an attribute before this opset.
FIRST_OPSET = 5


def canonical_reshapes(
    nodes: Sequence[onnx.NodeProto], shapes: Mapping[str, tuple[int, ...]], constants: dict[str, Array]
) -> list[onnx.NodeProto]:
    """`shapes` are the static ones known; `constants` gains the targets."""
    result = []
    sources: dict[str, str] = {}
    for node in nodes:
        if not _keeps_bytes(node, shapes):
            result.append(node)
            continue
        source = sources.get(node.input[0], node.input[0])
        output = node.output[0]
        sources[output] = source
        shape = shapes[output]
        if shapes.get(source) == shape:
            result.append(helper.make_node("Identity", [source], [output]))
            continue
        target = f"::shape{list(shape)}"
        # A 0 would mean "as before", which is another number where dimensions moved.
        assert 0 not in shape
        constants[target] = np.asarray(shape, np.int64)
        result.append(helper.make_node("Reshape", [source, target], [output], name=node.name))
    return result


def _keeps_bytes(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    before, after = shapes.get(node.input[0]) if node.input else None, shapes.get(node.output[0])
    if before is None or after is None or 0 in before or node.domain != "":
        return False
    if node.op_type == "Transpose":
        given = [list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"]
        order = given[0] if given else list(range(len(before)))[::-1]
        moved = [axis for axis in order if before[axis] != 1]
        return moved == sorted(moved)
    return node.op_type in _RENAMING
