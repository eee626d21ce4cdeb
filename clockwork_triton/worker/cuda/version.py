"""Versions of CUDA, and the one that a worker needs."""

from __future__ import annotations

Version = tuple[int, int]

NEEDED: Version = (12, 4)
"""The first whose drivers have all that a worker calls (cuFuncLoad is the youngest)."""


def version_of(number: int) -> Version:
    """As cuDriverGetVersion has it: 12040."""
    return number // 1000, number % 1000 // 10


def text_of(version: Version) -> str:
    """As people have it: 12.4."""
    return ".".join(map(str, version))
