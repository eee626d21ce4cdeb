"""The version of a model as requests write it."""

from __future__ import annotations

import re

from clockwork_triton.errors import Code, ServerError


def parse_version(text: str) -> int | None:
    """None for "". Reads as C's stol does: a number, and whatever follows it."""
    if not text:
        return None
    match = re.match(r"\s*([+-]?\d+)", text, re.ASCII)
    if not match or not -(1 << 63) <= int(match[1]) < 1 << 63:
        raise ServerError(
            Code.INVALID_ARG,
            f"failed to get model version from specified version string '{text}' (details: stol), "
            "version should be an integral value > 0",
        )
    if int(match[1]) < 0:
        raise ServerError(
            Code.INVALID_ARG,
            f"invalid model version specified '{text}' , version should be an integral value > 0",
        )
    return int(match[1])
