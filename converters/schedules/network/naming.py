"""Names of kernels, for people who read profiles."""

from __future__ import annotations

from typing import Any

from converters.schedules.network.graph import Node
from converters.schedules.network.program import Fused

LONGEST = 60


def kernel_name(node: Node) -> str:
    """What it does and the shape of what it makes, in characters that symbols have."""
    parts = []
    if isinstance(node.op, Fused):
        if node.op.anchor is not None:
            parts.append(_name(node.op.anchor))
        parts += [step.name for step in node.op.program.steps if step.name != "constant"]
    else:
        parts.append(_name(node.op))
    text = "_".join(parts)[:LONGEST] or "copy"
    return f"{text}_{'x'.join(map(str, node.outputs[0].shape))}"


def _name(op: Any) -> str:
    return type(op).__name__.lower()
