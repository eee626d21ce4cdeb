"""Computes one ONNX node on known values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from converters.source import Array

_RANDOM = {
    "Bernoulli",
    "Dropout",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


def is_pure(node: onnx.NodeProto) -> bool:
    """Whether the outputs depend on nothing but inputs and attributes, and can be computed here."""
    subgraph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    return node.domain == "" and node.op_type not in _RANDOM and not subgraph


def evaluate(
    node: onnx.NodeProto, inputs: Sequence[Array | None], opsets: Mapping[str, int]
) -> list[Array] | None:
    """The outputs that have a name by ONNX's reference implementation; None where that has none, or fails.

    `inputs` in the node's order, None for one left out.
    """
    names = [name for name in node.input if name]
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    outputs = [name for name in node.output if name]
    function = helper.make_function("folding", "node", list(dict.fromkeys(names)), outputs, [node], imports)
    feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if name}
    try:
        values = dict(zip(outputs, ReferenceEvaluator(function).run(None, feeds, {}), strict=True))
    except MemoryError:
        raise
    except Exception:  # the evaluator's operators fail in many ways; the node is then left to TVM
        return None
    if not all(isinstance(value, np.ndarray | np.generic) for value in values.values()):
        return None
    return [np.asarray(values[name]) for name in node.output if name]
