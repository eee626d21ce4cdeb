"""Requests and answers of a conversion process as JSON."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from converters.request import ConversionRequest


def request_to_json(request: ConversionRequest) -> dict[str, Any]:
    return {**asdict(request), "onnx": str(request.onnx)}


def request_from_json(document: dict[str, Any]) -> ConversionRequest:
    return ConversionRequest(
        **{
            **document,
            "onnx": Path(document["onnx"]),
            "batch_sizes": tuple(document["batch_sizes"]),
            "shapes": {name: tuple(shape) for name, shape in document["shapes"].items()},
            "inputs": tuple(document["inputs"]),
            "outputs": tuple(document["outputs"]),
        }
    )


def signature_to_json(signature: Signature) -> dict[str, Any]:
    return asdict(signature)


def signature_from_json(document: dict[str, Any]) -> Signature:
    def tensors(kind: str) -> tuple[SignatureTensor, ...]:
        return tuple(
            SignatureTensor(t["name"], t["dtype"], None if t["shape"] is None else tuple(t["shape"]))
            for t in document[kind]
        )

    return Signature(tensors("inputs"), tensors("outputs"))
