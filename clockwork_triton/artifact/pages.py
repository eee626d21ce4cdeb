"""The pages that device memory is divided into: artifacts are laid out in them, and workers work in them."""

from __future__ import annotations

MIB = 1 << 20
PAGE_BYTES = {"cpu": MIB, "cuda": 16 * MIB}
"""By the kind of target that an artifact is made for. A GPU copies large pieces best."""


def device_page_bytes(device: str) -> int:
    """The size of a page of a device, such as cpu:0. An emulated device serves what is made for the CPU."""
    family = device.partition(":")[0]
    return PAGE_BYTES.get(family, PAGE_BYTES["cpu"])
