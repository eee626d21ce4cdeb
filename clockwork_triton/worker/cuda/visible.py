"""Which GPUs the environment shows to CUDA."""

from __future__ import annotations

import os

NO_DEVICE = 100
"""The CUresult of a driver that finds no GPU, or is shown none."""


def visible() -> str | None:
    """CUDA_VISIBLE_DEVICES; None where it is not set, and all GPUs are shown."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def hides_all(value: str | None) -> bool:
    """Whether it names none, in one of the ways in which people say so on purpose."""
    return value is not None and value.strip() in ("", "-1", "NoDevFiles", "none")
