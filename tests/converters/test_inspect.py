from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from converters.inspect import inspect
from converters.request import ConversionError
from tests.converters import models
from tests.converters.models import FLOAT, STRING, model, node, saved


def test_a_signature(tmp_path: Path) -> None:
    signature = inspect(saved(models.small_convnet(), tmp_path))
    assert signature == Signature(
        (SignatureTensor("x", "float32", (-1, 3, 12, 12)),),
        (SignatureTensor("probabilities", "float32", (-1, 10)),),
    )
    assert signature.batches


def test_initializers_among_the_inputs_are_none(tmp_path: Path) -> None:
    proto = model(
        [node("Add", ["x", "w"], ["y"])],
        {"x": (FLOAT, [3]), "w": (FLOAT, [3])},
        {"y": (FLOAT, [3])},
        {"w": models.weights(3)},
    )
    assert [tensor.name for tensor in inspect(saved(proto, tmp_path)).inputs] == ["x"]


def test_open_dimensions_unknown_ranks_and_strings(tmp_path: Path) -> None:
    proto = model([node("Identity", ["x"], ["y"])], {"x": (STRING, ["a", None, 2])}, {"y": (STRING, None)})
    assert inspect(saved(proto, tmp_path)) == Signature(
        (SignatureTensor("x", "object", (-1, -1, 2)),), (SignatureTensor("y", "object", None),)
    )


def test_external_weights_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    proto = models.small_convnet()
    onnx.save(proto, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    (tmp_path / "weights.data").unlink()
    assert inspect(path).inputs[0].name == "x"


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07\x12\xff\xff\xff\x7f"])
def test_what_is_no_onnx_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=r"model\.onnx is not an ONNX file"):
        inspect(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = saved(models.small_convnet(), tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConversionError, match=r"model\.onnx is not an ONNX file, or was cut short"):
        inspect(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"cannot read model\.onnx"):
        inspect(tmp_path / "model.onnx")


def test_sequences_cannot_be_served(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("y", FLOAT, None)
    proto = model([node("SequenceConstruct", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])})
    proto.graph.output[0].CopyFrom(sequence)
    with pytest.raises(ConversionError, match="'y' is of sequence_type: only tensors can be served"):
        inspect(saved(proto, tmp_path))


def test_weights_may_not_lie_outside_the_directory(tmp_path: Path) -> None:
    from converters.source import hash_files

    proto = models.small_convnet()
    onnx.save(proto, tmp_path / "model.onnx", save_as_external_data=True, location="w.data", size_threshold=0)
    text = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/model.onnx").write_bytes(text.replace(b"w.data", b"../w.d"))
    (tmp_path / "w.d").write_bytes(np.zeros(10000, np.uint8).tobytes())
    with pytest.raises(ConversionError, match=r"which is not beside it"):
        hash_files(tmp_path / "inner/model.onnx")
