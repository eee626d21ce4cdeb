"""Writes model_repository/ anew, or those of its models that are named on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from scripts.models import digits, encoder, sequences, simple, squeezenet, strings

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"

BUILDERS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "simple": simple.build,
    "digits": digits.build,
    "squeezenet": squeezenet.build,
    "encoder": encoder.build,
    "simple_string": strings.simple_string,
    "simple_identity": strings.simple_identity,
    "simple_int8": simple.build_int8,
    "simple_sequence": sequences.simple_sequence,
    "simple_dyna_sequence": sequences.simple_dyna_sequence,
    "simple_string_dyna_sequence": sequences.simple_string_dyna_sequence,
}


def serialise(model: onnx.ModelProto) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def main(names: list[str]) -> None:
    for name in names or BUILDERS:
        path = REPOSITORY / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(serialise(BUILDERS[name]()))
        print(f"{path.relative_to(REPOSITORY.parent)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
