from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import service_pb2

from benchmarks.serving.many_models import write_model
from benchmarks.serving.subjects import Subject, Tensor, deviation


@pytest.fixture
def dense(tmp_path: Path) -> Subject:
    write_model(tmp_path / "dense", seed=0)
    tensors = (Tensor("x", "FP32", (16,)),), (Tensor("y", "FP32", (4,)),)
    return Subject("dense", tmp_path / "dense" / "1" / "model.onnx", 2, *tensors)


def test_models_written_with_other_seeds_answer_differently(tmp_path: Path, dense: Subject) -> None:
    write_model(tmp_path / "other", seed=1)
    other = Subject("other", tmp_path / "other" / "1" / "model.onnx", 2, dense.inputs, dense.outputs)
    inputs = dense.random_inputs(2, np.random.default_rng(0))
    assert dense.expected(inputs)["y"].shape == (2, 4)
    assert deviation(dense.expected(inputs), dense.expected(inputs)) == 0
    assert deviation(dense.expected(inputs), other.expected(inputs)) > 0.1


def test_request(dense: Subject) -> None:
    inputs = dense.random_inputs(2, np.random.default_rng(0))
    message = service_pb2.ModelInferRequest.FromString(dense.request(inputs, timeout_us=7))
    assert (message.model_name, message.parameters["timeout"].int64_param) == ("dense", 7)
    assert (message.inputs[0].name, list(message.inputs[0].shape)) == ("x", [2, 16])
    assert message.raw_input_contents[0] == inputs["x"].tobytes()
    assert not service_pb2.ModelInferRequest.FromString(dense.request(inputs)).parameters


def test_answer(dense: Subject) -> None:
    value = np.arange(8, dtype=np.float32).reshape(2, 4)
    reply = service_pb2.ModelInferResponse(raw_output_contents=[value.tobytes()])
    reply.outputs.add(name="y", datatype="FP32", shape=[2, 4])
    assert np.array_equal(dense.answer(reply.SerializeToString())["y"], value)


def test_input_data_for_perf_analyzer(dense: Subject, tmp_path: Path) -> None:
    inputs = dense.random_inputs(1, np.random.default_rng(0))
    dense.write_input_data(inputs, tmp_path / "data.json")
    entry = json.loads((tmp_path / "data.json").read_text())["data"][0]["x"]
    assert entry["shape"] == [16]
    assert base64.b64decode(entry["b64"]) == inputs["x"].tobytes()


def test_integers_stay_inside_the_table_that_they_index(tmp_path: Path) -> None:
    table = numpy_helper.from_array(np.zeros((7, 2), np.float32), "table")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["ids"], ["wide"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "wide"], ["y"]),
        ],
        "embedding",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["batch", 50])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [table],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    tensors = (Tensor("ids", "INT32", (50,)),), (Tensor("y", "FP32", (50, 2)),)
    drawn = Subject("embedding", tmp_path / "model.onnx", 4, *tensors).random_inputs(
        4, np.random.default_rng(0)
    )
    assert set(np.unique(drawn["ids"])) == set(range(7))
    assert drawn["ids"].dtype == np.int32


def test_deviation_is_relative_to_the_largest_magnitude() -> None:
    truth = {"y": np.array([0.0, -4.0], np.float32)}
    assert deviation({"y": np.array([1.0, -4.0], np.float32)}, truth) == 0.25
    assert deviation({"y": np.array([0.0, np.nan], np.float32)}, truth) == float("inf")
    assert deviation({"y": np.array([0.0, -4.0], np.float64)}, truth) == float("inf")
    assert deviation({"y": np.array([-4.0], np.float32)}, truth) == float("inf")
    assert deviation({}, truth) == float("inf")
    zero = {"y": np.zeros(2, np.float32)}
    assert deviation(zero, zero) == 0
    assert deviation(truth, zero) == float("inf")
