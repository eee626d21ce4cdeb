from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.datatypes import TensorSpec
from converters.convert import convert
from converters.crosscheck import crosscheck
from converters.reference import Reference, ReferenceFailed
from converters.request import ConversionError, ConversionRequest
from converters.samples import Sampler
from tests.converters import models
from tests.converters.models import FLOAT, model, node, saved, weights


@pytest.mark.parametrize(
    ("expected", "actual", "error"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.0], [1.5, -4.0], 0.125),
        ([0.0, 0.0], [0.0, 0.25], 0.25),
        ([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0], 0.0),
        ([np.inf, 1.0], [-np.inf, 1.0], np.inf),
        ([1.0, 1.0], [np.nan, 1.0], np.inf),
        ([np.nan, np.nan], [np.nan, np.nan], 0.0),
        ([], [], 0.0),
    ],
)
def test_the_difference_of_floats(expected: list[float], actual: list[float], error: float) -> None:
    assert difference(np.float32(expected), np.float32(actual)) == error


def test_integers_must_be_equal_but_for_a_step_of_quantized_ones() -> None:
    assert difference(np.int32([1, 2]), np.int32([1, 2])) == 0
    assert difference(np.int32([1, 2]), np.int32([1, 3])) == np.inf
    assert difference(np.uint8([1, 255]), np.uint8([2, 254])) == 0
    assert difference(np.uint8([1]), np.uint8([3])) == np.inf
    assert difference(np.array([True]), np.array([False])) == np.inf


def test_a_wrong_artifact_is_refused_with_the_figures(tmp_path: Path) -> None:
    """The artifact of one model is held against the file of another."""

    def linear(seed: int) -> Path:
        proto = model(
            [node("MatMul", ["x", "w"], ["y"])],
            {"x": (FLOAT, ["N", 4])},
            {"y": (FLOAT, ["N", 4])},
            {"w": weights(4, 4, seed=seed)},
        )
        return saved(proto, tmp_path, f"{seed}.onnx")

    artifact = tmp_path / "artifact"
    artifact.mkdir()
    convert(ConversionRequest(linear(0), "m", 2, (1, 2)), artifact, {}, lambda _: None)
    assert crosscheck(linear(0), artifact).startswith("1 against onnxruntime, 2 against batch size 1")
    message = (
        r"disagrees with onnxruntime at batch size 1: output 'y' differs by \d.* of its scale \(1e-04 is"
    )
    with pytest.raises(ConversionError, match=message):
        crosscheck(linear(1), artifact)


def test_the_slow_reference_steps_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError

    monkeypatch.setattr("converters.reference._onnxruntime", missing)
    reference = Reference(saved(models.sum_and_difference(), tmp_path), ["OUTPUT1"])
    ones = np.ones((1, 16), np.int32)
    (difference_,) = reference.run({"INPUT0": ones, "INPUT1": ones})
    assert reference.name == "onnx.reference"
    np.testing.assert_array_equal(difference_, ones * 0)


def test_indices_out_of_range_are_no_answer(tmp_path: Path) -> None:
    reference = Reference(saved(models.embedding(), tmp_path), ["y"])
    with pytest.raises(ReferenceFailed, match=r"^onnxruntime: .*indices"):
        reference.run({"tokens": np.full((1, 5), 9, np.int64)})


def test_samples_keep_to_what_is_known_of_integers() -> None:
    tensors = tuple(
        TensorSpec(name, dtype, (500,))
        for name, dtype in (("index", "int64"), ("count", "int8"), ("flag", "bool"), ("x", "float32"))
    )
    manifest = Manifest("m", "cpu", 2, tensors, tensors, 4096, (), {}, {})
    sampler = Sampler(manifest, {"index": 300}, (1, 10))
    index, count, flag, x = sampler.inputs(2)
    assert index.shape == (2, 500)
    assert (index.min() >= 0, index.max() < 300, index.max() > 10) == (True, True, True)
    assert (count.min(), count.max(), count.dtype) == (1, 9, np.int8)
    assert 0.4 < flag.mean() < 0.6
    assert abs(x.mean()) < 0.1
    for again, first in zip(sampler.inputs(2), (index, count, flag, x), strict=True):
        np.testing.assert_array_equal(again, first)
