"""Artifacts of models that cannot be compiled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from clockwork_triton.artifact.cache import ArtifactCache
from clockwork_triton.artifact.host import EVALUATOR, ONNXRUNTIME, HostModel
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.artifact.records import Tensor
from clockwork_triton.datatypes import TensorSpec
from converters import host
from converters.host import make_host_artifact
from converters.pool import ConversionPool
from converters.request import ConversionError, ConversionRequest, Progress
from tests.converters.models import FLOAT, INT32, INT64, STRING, model, node, saved

BFLOAT16 = TensorProto.BFLOAT16


def request(onnx: Path, max_batch_size: int = 4, **shapes: tuple[int, ...]) -> ConversionRequest:
    return ConversionRequest(onnx, "m", max_batch_size, (1, 2, 4) if max_batch_size else (1,), shapes)


def made(tmp_path: Path, proto: onnx.ModelProto, max_batch_size: int = 4) -> Manifest:
    directory = tmp_path / "artifact"
    directory.mkdir()
    make_host_artifact(request(saved(proto, tmp_path), max_batch_size), directory, {}, "it cannot")
    return Manifest.read(directory)


def texts_to_numbers() -> onnx.ModelProto:
    return model([node("Cast", ["x"], ["y"], to=INT32)], {"x": (STRING, ["N", 3])}, {"y": (INT32, ["N", 3])})


def found(max_batch_size: int = 0) -> onnx.ModelProto:
    return model([node("NonZero", ["x"], ["y"])], {"x": (FLOAT, [4])}, {"y": (INT64, None)})


@pytest.mark.parametrize("runtime", [ONNXRUNTIME, EVALUATOR])
def test_a_model_of_texts_is_kept_as_it_is(
    tmp_path: Path, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "installed_runtime", lambda: runtime)
    manifest = made(tmp_path, texts_to_numbers())
    assert (manifest.runtime, manifest.reason, manifest.compiled) == (runtime, "it cannot", False)
    assert manifest.inputs == (TensorSpec("x", "object", (3,)),)
    assert manifest.batch_sizes == (1, 2, 4)
    assert manifest.filler == "1", "which the cast takes"
    assert (tmp_path / "artifact" / "model.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()


def test_the_rank_of_an_output_is_found_out(tmp_path: Path) -> None:
    assert made(tmp_path, found(), 0).outputs == (TensorSpec("y", "int64", (-1, -1)),)


def test_a_batch_must_come_out_as_one(tmp_path: Path) -> None:
    proto = model(
        [node("Identity", ["x"], ["h"]), node("Reshape", ["h", "s"], ["y"])],
        {"x": (STRING, ["N", 2])},
        {"y": (STRING, ["N", 1])},
        {"s": np.array([-1, 1])},
    )
    with pytest.raises(
        ConversionError, match=r"it cannot\. Nor does it run on onnxruntime: output 'y' has sh"
    ):
        made(tmp_path, proto)


def test_numbers_need_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "installed_runtime", lambda: EVALUATOR)
    with pytest.raises(ConversionError, match=r"it cannot\. With ONNX Runtime \(extra \[onnxruntime\]\)"):
        made(tmp_path, found(), 0)


def brain_floats(kinds: tuple[int, int] = (BFLOAT16, BFLOAT16)) -> onnx.ModelProto:
    """Whatever is given is given back, by way of what TVM cannot compile."""
    nodes = [
        node("Cast", ["x"], ["f"], to=FLOAT),
        node("NonZero", ["f"], ["n"]),
        node("Cast", ["f"], ["y"], to=kinds[1]),
    ]
    return model(nodes, {"x": (kinds[0], ["N", 3])}, {"y": (kinds[1], ["N", 3]), "n": (INT64, None)})


@pytest.mark.parametrize("kinds", [(BFLOAT16, BFLOAT16), (BFLOAT16, FLOAT), (FLOAT, BFLOAT16)])
def test_half_precision_of_the_brain(tmp_path: Path, kinds: tuple[int, int]) -> None:
    manifest = made(tmp_path, brain_floats(kinds), 0)
    dtypes = ["bfloat16" if kind == BFLOAT16 else "float32" for kind in kinds]
    assert [tensor.dtype for tensor in (*manifest.inputs, *manifest.outputs)] == [*dtypes, "int64"]
    given, back = (np.array([[1, -2.5, 0]], np.dtype(dtype)) for dtype in dtypes)
    outputs = HostModel(tmp_path / "artifact", manifest).run([Tensor((1, 3), given.tobytes())])
    assert outputs[0] == Tensor((1, 3), back.tobytes())
    assert outputs[1] == Tensor((2, 2), np.array([[0, 0], [0, 1]]).tobytes())


def test_weights_beside_the_file_come_along(tmp_path: Path) -> None:
    proto = model([node("Add", ["x", "w"], ["y"])], {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(4, "float32"), "w"))
    onnx.save(
        proto,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="weights",
        size_threshold=0,
    )
    directory = tmp_path / "artifact"
    directory.mkdir()
    manifest = make_host_artifact(request(tmp_path / "model.onnx"), directory, {}, "it cannot")
    assert manifest.runtime == ONNXRUNTIME
    assert (directory / "weights").is_file()


def test_the_pool_falls_back_where_it_may_and_remembers(tmp_path: Path) -> None:
    path = saved(found(), tmp_path)
    told: list[Progress] = []

    async def convert() -> tuple[Path, Path]:
        async with ConversionPool(tmp_path / "cache") as pool:
            with pytest.raises(ConversionError, match="the shape of its output depends on the values"):
                await pool.convert(request(path, 0))
            first = await pool.convert(request(path, 0), fallback=True)
            return first, await pool.convert(request(path, 0), told.append, fallback=True)

    first, again = asyncio.run(convert())
    assert first == again
    assert [progress.stage for progress in told] == ["looking in the cache", "found in the cache"]
    assert ArtifactCache(tmp_path / "cache").find(first.name) == first
    assert "operator NonZero" in Manifest.read(first).reason
