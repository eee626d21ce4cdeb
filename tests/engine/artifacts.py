"""An artifact of numbers only, for the emulated device."""

from __future__ import annotations

from pathlib import Path

from clockwork_triton.artifact import Distribution, Manifest, Profile, Segment, Variant
from clockwork_triton.datatypes import TensorSpec

KIND = "toy"
PAGE_BYTES = 1 << 20


def write_artifact(directory: Path, pages: int = 1, infer_ns: int = 100_000, load_ns: int = 200_000) -> Path:
    """Two inputs and one output of four floats a row, batch sizes 1 and 2; durations as given."""
    directory.mkdir(parents=True)
    manifest = Manifest(
        name=directory.name,
        target="cpu",
        max_batch_size=2,
        inputs=(TensorSpec("a", "float32", (4,)), TensorSpec("b", "float32", (4,))),
        outputs=(TensorSpec("c", "float32", (4,)),),
        page_bytes=PAGE_BYTES,
        segments=tuple(Segment(page * PAGE_BYTES, PAGE_BYTES, 1) for page in range(pages)),
        variants={size: Variant(size, 0, (), ()) for size in (1, 2)},
        origin={},
    )
    (directory / "manifest.json").write_text(manifest.to_json())
    load = Distribution.of([load_ns])
    infer = {size: Distribution.of([infer_ns * size]) for size in (1, 2)}
    Profile(KIND, load, infer).write(directory)
    return directory
