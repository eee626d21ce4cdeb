from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from clockwork_triton.artifact.expectation import Expectation
from converters import device_code
from converters.convert import convert
from converters.expected import LEAST_ROUNDED, MOST_ROUNDED
from converters.request import ConversionError, ConversionRequest
from converters.rounding import round_tf32
from converters.sensitivity import effect_of_rounding
from tests.converters.models import FLOAT, model, node, saved, small_convnet, weights


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"\x7fELF")


def expectation(proto: onnx.ModelProto, directory: Path, precision: str = "tf32") -> Expectation:
    """Of an artifact for a GPU, of batch sizes 1 and 2."""
    path, artifact = saved(proto, directory), directory / precision
    artifact.mkdir()
    request = ConversionRequest(path, "m", 2, (1, 2), target="cuda", arch="sm_90", precision=precision)
    manifest = convert(request, artifact, {}, lambda progress: None)
    assert manifest.origin["checked"] == "by the first device that runs it"
    found = Expectation.read(artifact, manifest)
    assert found is not None
    return found


def dense(factor: np.ndarray, extra: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """x @ factor, and what `extra` makes of it."""
    nodes = [node("MatMul", ["x", "w"], ["m"]), *(extra or [node("Identity", ["m"], ["y"])])]
    columns = factor.shape[1]
    constants = {"w": factor, "half": np.float32([0.5])}
    return model(nodes, {"x": (FLOAT, ["N", len(factor)])}, {"y": (FLOAT, ["N", columns])}, constants)


def test_it_is_what_the_reference_gives_for_one_row(tmp_path: Path) -> None:
    factor = weights(8, 4)
    found = expectation(dense(factor), tmp_path)
    (x,), (y,) = found.inputs, found.outputs
    assert (x.shape, found.reference) == ((1, 8), "onnxruntime")
    np.testing.assert_allclose(y, x @ factor, rtol=1e-5)


def test_rounded_products_may_be_as_far_off_as_the_model_is_sensitive(tmp_path: Path) -> None:
    """The second one subtracts almost all of what it has, and what is left is mostly rounding."""
    factor = weights(64, 4)
    calm = dense(factor)
    nearly = np.concatenate([factor, -factor + 1e-4 * weights(64, 4, seed=1)])
    doubled = [node("Concat", ["x", "x"], ["xx"], axis=1), node("MatMul", ["xx", "w"], ["y"])]
    cancelling = model(doubled, {"x": (FLOAT, ["N", 64])}, {"y": (FLOAT, ["N", 4])}, {"w": nearly})
    limits = {}
    for name, proto in {"calm": calm, "cancelling": cancelling}.items():
        (tmp_path / name).mkdir()
        for precision in ("fp32", "tf32", "fp16"):
            limits[name, precision] = expectation(proto, tmp_path / name, precision).tolerance
    assert limits["calm", "fp32"] == limits["cancelling", "fp32"] == 1e-4
    assert LEAST_ROUNDED <= limits["calm", "tf32"] <= limits["calm", "fp16"] < 0.02
    assert limits["cancelling", "tf32"] == MOST_ROUNDED


def test_constants_inside_the_graph_are_rounded_too(tmp_path: Path) -> None:
    value = onnx.numpy_helper.from_array(np.float32([[1 + 2.0**-12]]))
    nodes = [node("Constant", [], ["w"], value=value), node("MatMul", ["x", "w"], ["y"])]
    path = saved(model(nodes, {"x": (FLOAT, ["N", 1])}, {"y": (FLOAT, ["N", 1])}), tmp_path)
    one = np.float32([[1.0]])
    moved = effect_of_rounding(path, ["x"], [one], ["y"], [np.float32([[1 + 2.0**-12]])])
    assert moved == pytest.approx(2.0**-12, rel=1e-3)


def test_rounding_is_to_ten_bits_ties_away_from_zero_and_leaves_the_rest() -> None:
    tie = np.float32(1 + 2.0**-11)
    values = np.float32([1.0, tie, -tie, 1 + 2.0**-12, np.inf, -np.inf, 0.0])
    up = 1 + 2.0**-10
    np.testing.assert_array_equal(round_tf32(values), np.float32([1, up, -up, 1, np.inf, -np.inf, 0]))
    assert np.isnan(round_tf32(np.float32([np.nan])))[0]


def test_a_model_that_no_reference_runs_cannot_be_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("it is broken")

    monkeypatch.setattr("converters.reference._onnxruntime", broken)
    monkeypatch.setattr("converters.reference._evaluator", broken)
    with pytest.raises(ConversionError, match=r"no ONNX reference runs the model .*it is broken"):
        expectation(small_convnet(), tmp_path)
