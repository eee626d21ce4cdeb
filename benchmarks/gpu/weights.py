"""An artifact's weights as a kit has them: compressed, or left out."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

from clockwork_triton.artifact import Manifest

PACKED = "weights.bin.xz"


def pack(artifact: Path) -> None:
    data = (artifact / "weights.bin").read_bytes()
    (artifact / PACKED).write_bytes(lzma.compress(data, preset=1))
    (artifact / "weights.bin").unlink()


def unpack(artifact: Path) -> None:
    (artifact / "weights.bin").write_bytes(lzma.decompress((artifact / PACKED).read_bytes()))


def write_random(artifact: Path) -> None:
    """Small numbers of either sign, as whole floats of any precision."""
    manifest = Manifest.read(artifact)
    size = max((segment.file_offset + segment.bytes for segment in manifest.segments), default=0)
    random = np.random.default_rng(0)
    values = (0.02 * random.standard_normal(-(-size // 4), np.float32)).astype(np.float32)
    (artifact / "weights.bin").write_bytes(values.tobytes()[:size])
