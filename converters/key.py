"""What determines an artifact, and the key it is cached under."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

from clockwork_triton.artifact.cache import ArtifactCache
from clockwork_triton.artifact.manifest import FORMAT
from converters import targets
from converters.request import ConversionRequest
from converters.source import hash_files

_VERSION = re.compile(r"-nvcc-\d+(\.\d+)*\Z")
"""What else may lie beside artifacts, a copy of one for instance, has another end."""


def origin(request: ConversionRequest) -> dict[str, str]:
    """Everything that the artifact's bytes depend on, by name. The model's name is not part of it."""
    options = {
        "max_batch_size": request.max_batch_size,
        "batch_sizes": sorted(request.batch_sizes),
        "shapes": {name: list(shape) for name, shape in sorted(request.shapes.items())},
        "inputs": list(request.inputs),
        "outputs": list(request.outputs),
        "threads": request.threads,
        "tune": request.tune,
        "precision": request.precision,
    }
    return {
        "onnx": hash_files(request.onnx),
        "options": json.dumps(options, sort_keys=True),
        "target": targets.fingerprint(request),
        "format": str(FORMAT),
        "converters": converters_hash(),
        "tvm": version("apache-tvm"),
        "onnx_library": version("onnx"),
        **targets.toolchain(request),
    }


def key_of(origin: dict[str, str]) -> str:
    """A hash of the origin; nvcc's version comes after it, so that who has no nvcc can look for any."""
    rest = {name: value for name, value in origin.items() if name != "nvcc"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    return f"{digest}-nvcc-{origin['nvcc']}" if origin.get("nvcc") else digest


def find(cache: ArtifactCache, origin: dict[str, str]) -> Path | None:
    """The artifact in the cache. Where there is no nvcc to make it with, that of the newest one that made a
    whole one elsewhere does."""
    found = cache.find(key_of(origin))
    if found is not None or origin.get("nvcc") != "":
        return found
    made = [path.name for path in cache.root.glob(f"{key_of(origin)}-nvcc-*")]
    newest_first = sorted((key for key in made if _VERSION.search(key)), key=_age, reverse=True)
    return next((path for key in newest_first if (path := cache.find(key)) is not None), None)


def _age(key: str) -> tuple[int, ...]:
    """By which the keys of several versions of nvcc are in order."""
    return tuple(int(part) for part in key.rpartition("-")[2].split("."))


def choices_key(origin: dict[str, str]) -> str:
    """What the choices of tuning depend on, whatever the model."""
    return key_of({name: origin[name] for name in ("target", "converters", "tvm")})


@cache
def converters_hash() -> str:
    """SHA-256 of this package's sources, device code included: a changed converter makes new artifacts."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.cuh")]):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
