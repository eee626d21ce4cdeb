"""The name by which profiles of a GPU are kept."""

from __future__ import annotations

import re

from clockwork_triton.worker.cuda.driver import GpuFacts


def gpu_kind(facts: GpuFacts) -> str:
    """Such as "cuda-h100-80gb-hbm3-132": what tells one running time from another, in characters of a file
    name.

    The multiprocessors tell apart parts of one name, and slices of one part.
    """
    name = re.sub(r"\b(nvidia|geforce|tesla|graphics)\b", " ", facts.name.lower())
    slug = re.sub(r"[^a-z0-9]+", "-", name).strip("-") or "unknown"
    return f"cuda-{slug}-{facts.multiprocessors}"
