"""What was measured so far, kept as JSON beside the artifacts it was measured with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.kernels.comparison import Comparison, Growth
from benchmarks.kernels.conversion import Conversion


def keep(result: Conversion | Comparison | Growth, folder: Path, kind: str) -> None:
    (folder / f"{kind}.json").write_text(json.dumps(asdict(result), indent=1) + "\n")


def conversions(work: Path) -> Sequence[Conversion]:
    documents = [json.loads(path.read_text()) for path in sorted(work.glob("*/conversion.json"))]
    return [Conversion(**{**document, "batches": tuple(document["batches"])}) for document in documents]


def comparisons(work: Path, kind: str) -> Sequence[Comparison]:
    """`kind`: "ratio" or "tail"."""
    documents = [json.loads(path.read_text()) for path in sorted(work.glob(f"*/{kind}-*.json"))]
    return sorted(
        (Comparison(**document) for document in documents), key=lambda found: (found.batch, found.model)
    )


def growths(work: Path) -> Sequence[Growth]:
    return [Growth(**json.loads(path.read_text())) for path in sorted(work.glob("*/growth.json"))]
