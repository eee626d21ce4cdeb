"""TVM's device code with shuffles in which every thread of a warp takes part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod

from clockwork_triton.artifact.manifest import Launch

WARP = 32


def whole_warps(text: str, launches: Iterable[Launch]) -> str:
    """The text with a full mask for each shuffle, where all blocks of its function are whole warps.

    TVM asks which threads are active, just after branches that some of them took: those that are not back yet
    would be left out. They all come to the shuffle, which waits for those that it names.
    """
    divided = {launch.function for launch in launches if prod(launch.block) % WARP}
    functions = re.split(r'(?=extern "C" __global__)', text)
    return "".join(
        function if _name(function) in divided else _with_full_mask(function) for function in functions
    )


def _name(function: str) -> str:
    """Of a device function's definition; empty for what stands before the first."""
    found = re.search(r"(\w+)\([^()]*\)\s*\{", function)
    return found[1] if found else ""


def _with_full_mask(function: str) -> str:
    return function.replace("__activemask()", "0xffffffffu")
