from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from clockwork_triton.artifact.expectation import Expectation
from converters import device_code
from converters.convert import convert
from converters.reference import Reference, ReferenceFailed
from converters.request import ConversionError, ConversionRequest
from converters.rounding import round_tf32
from converters.tolerances import LEAST_ROUNDED, LEAST_SHARE, MOST, UNTOLD
from tests.converters.models import FLOAT, INT64, model, node, saved, small_convnet, weights


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
            limits[name, precision] = max(expectation(proto, tmp_path / name, precision).tolerances)
    assert limits["calm", "fp32"] == limits["cancelling", "fp32"] == 1e-4
    assert LEAST_ROUNDED <= limits["calm", "tf32"] <= limits["calm", "fp16"] < 0.02
    assert limits["cancelling", "tf32"] == MOST


def test_constants_that_are_factors_are_rounded_too(tmp_path: Path) -> None:
    """Also where they get there by way of others."""
    value = onnx.numpy_helper.from_array(
        np.full((4, 4), 1 + 2.0**-12, np.float32) * np.eye(4, dtype=np.float32)
    )
    nodes = [
        node("Constant", [], ["w"], value=value),
        node("Transpose", ["w"], ["t"]),
        node("MatMul", ["x", "t"], ["m"]),
        node("Sub", ["m", "x"], ["y"]),
    ]
    proto = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
    assert expectation(proto, tmp_path).tolerances == (MOST,), "what is left is what was rounded"


def test_what_is_no_factor_is_left_alone(tmp_path: Path) -> None:
    """Scales that are rounded would give another shape."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Resize", ["c", "", "scales"], ["y"], mode="nearest"),
    ]
    constants = {"w": weights(2, 3, 3, 3), "scales": np.float32([1, 1, 1.9999, 1.9999])}
    proto = model(nodes, {"x": (FLOAT, ["N", 3, 10, 10])}, {"y": (FLOAT, None)}, constants)
    (tolerance,) = expectation(proto, tmp_path).tolerances
    assert LEAST_ROUNDED <= tolerance < 0.05


def test_what_the_reference_gives_another_shape_is_refused(tmp_path: Path) -> None:
    """It takes 10 times 2.1 for 21 pixels, where they are a little fewer."""
    nodes = [node("Resize", ["x", "", "scales"], ["y"], mode="nearest")]
    constants = {"scales": np.float32([1, 1, 2.1, 2.1])}
    proto = model(nodes, {"x": (FLOAT, ["N", 3, 10, 10])}, {"y": (FLOAT, None)}, constants)
    with pytest.raises(
        ConversionError, match=r"output 'y' is float32 .*, but the ONNX reference gives float32"
    ):
        expectation(proto, tmp_path)


def test_an_effect_that_cannot_be_told_leaves_a_fixed_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Reference.run

    def fail_where_changed(self: Reference, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if "clockwork-changed" in str(self._path):
            raise ReferenceFailed("it does not go")
        return run(self, feeds)

    monkeypatch.setattr(Reference, "run", fail_where_changed)
    assert expectation(small_convnet(), tmp_path).tolerances == (UNTOLD,)


def test_each_output_has_a_tolerance_of_its_own(tmp_path: Path) -> None:
    """An index may be another where two are nearly as large, which says nothing of the numbers beside it."""
    nodes = [
        node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
        node("ArgMax", ["y"], ["index"], axis=1, keepdims=0),
    ]
    w = weights(8, 3, 3, 3)
    w[4:] = w[:4] * np.float32(1 + 2.0**-12)
    shapes = {"y": (FLOAT, ["N", 8, 64, 64]), "index": (INT64, ["N", 64, 64])}
    proto = model(nodes, {"x": (FLOAT, ["N", 3, 64, 64])}, shapes, {"w": w})
    for precision in ("tf32", "fp32"):
        logits, index = expectation(proto, tmp_path, precision).tolerances
        if precision == "fp32":
            assert (logits, index) == (1e-4, 0.0)
        else:
            assert LEAST_ROUNDED <= logits < 0.02
            assert LEAST_SHARE < index <= MOST


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
