"""The node tests of the `onnx` package."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx
from onnx.backend.test.loader import load_model_tests


@dataclass(frozen=True)
class Case:
    """A model of one node, or of the nodes that a composed operator stands for, and what it must compute.

    `operator`: what is tested; with its domain, where that is not ONNX's own.
    """

    name: str
    operator: str
    model: onnx.ModelProto
    data: Sequence[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float


@cache
def cases() -> Mapping[str, Case]:
    """By name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # overflows and divisions by zero that the tests are about
        found = {test.name: test for test in load_model_tests(kind="node")}
    return {
        name: Case(name, _operator(name, found), test.model, test.data_sets, test.rtol, test.atol)
        for name, test in found.items()
    }


def _operator(name: str, found: Mapping[str, Any]) -> str:
    """A test of the nodes that an operator stands for is called like the operator's own, "_expanded"."""
    origin = name.split("_expanded", maxsplit=1)[0]
    if origin not in found:
        origin = name
    nodes = found[origin].model.graph.node
    # Around the node that is tested some tests have others, which prepare or look at its values.
    plain = [node for node in nodes if node.op_type not in ("Constant", "Identity", "Cast")] or nodes
    node = plain[0]
    return f"{node.domain}.{node.op_type}" if node.domain else str(node.op_type)
