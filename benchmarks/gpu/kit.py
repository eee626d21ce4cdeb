"""Prepared models: artifacts with inputs and expected outputs, to be checked without converting.

A kit is a folder of one folder a model:

    artifact/        as `clockwork-triton convert` makes it, its weights as benchmarks.gpu.weights packs them
    check.npz        for some batch sizes: inputs as `B.in.NAME`, ONNX Runtime's outputs as `B.out.NAME`
    signature.onnx   the network's inputs and outputs without what is between: what a server reads of it
    kernels/         device code of tests/gpu for the same architecture: see benchmarks.gpu.kernels
    kit.json         the model's name and precision, and whether its weights were left out
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import weights
from clockwork_triton.artifact import Manifest

Array = np.ndarray[Any, Any]
FIRST = "resnet50"
"""The model of the targets is checked before all others."""


class KitError(Exception):
    """The folder is no kit; the text says why and what to do."""


@dataclass(frozen=True)
class Model:
    """`batches`: those that are checked, of the artifact's. `weights`: whether the kit has them."""

    name: str
    precision: str
    batches: tuple[int, ...]
    weights: bool
    folder: Path

    @property
    def key(self) -> str:
        """What it is called in records and targets."""
        return f"{self.name} {self.precision}"

    @property
    def artifact(self) -> Path:
        return self.folder / "artifact"

    def arrays(self, batch: int, kind: str) -> list[Array]:
        """`kind`: in or out; in the manifest's order."""
        manifest = Manifest.read(self.artifact)
        tensors = manifest.inputs if kind == "in" else manifest.outputs
        with np.load(self.folder / "check.npz") as stored:
            return [stored[f"{batch}.{kind}.{tensor.name}"] for tensor in tensors]

    def unpack(self) -> None:
        """Writes weights.bin where it is not there yet: as packed, or random where they were left out."""
        if (self.artifact / "weights.bin").exists():
            return
        if self.weights:
            weights.unpack(self.artifact)
        else:
            weights.write_random(self.artifact)


def read(kit: Path) -> list[Model]:
    """The models of a kit, the first to be checked first. KitError if it is none."""
    models = []
    for path in sorted(kit.glob("*/kit.json")):
        try:
            fields = json.loads(path.read_text())
            models.append(Model(**{**fields, "batches": tuple(fields["batches"])}, folder=path.parent))
        except (ValueError, TypeError, KeyError) as error:
            raise KitError(f"{path} is not of a kit that this version reads: prepare it anew") from error
    if not models:
        raise KitError(f"{kit} is no kit: it has no */kit.json. `benchmarks.gpu prepare {kit}` makes one")
    return sorted(models, key=lambda model: model.name != FIRST)


def copy(kit: Path, to: Path) -> None:
    """To unpack weights in: the kit stays as small as it is, and may be read-only. OSError."""
    shutil.copytree(kit, to, copy_function=link_or_copy)


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def find(kit: Path, key: str) -> Model:
    """The model of that key. KitError if there is none."""
    for model in read(kit):
        if model.key == key:
            return model
    raise KitError(f"{kit} has no model {key}")
