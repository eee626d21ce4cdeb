from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2

from benchmarks.compare import models
from clockwork_triton.repository.config import read_config


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    models.write_single("tiny", tmp_path / "tiny")
    return tmp_path / "tiny"


def test_the_tiny_model_doubles(repository: Path) -> None:
    session = onnxruntime.InferenceSession(str(repository / "tiny" / "1" / "model.onnx"))
    x = np.arange(32, dtype=np.float32).reshape(2, 16)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], 2 * x)


def test_configurations_for_this_server_and_for_perf_analyzer(repository: Path) -> None:
    assert read_config(repository / "tiny").max_batch_size == models.MAX_BATCH
    answer = service_pb2.ModelConfigResponse.FromString((repository / "tiny" / "config.bin").read_bytes())
    assert (answer.config.name, answer.config.max_batch_size) == ("tiny", models.MAX_BATCH)
    assert [(t.name, list(t.dims)) for t in answer.config.input] == [("x", [16])]


@pytest.mark.parametrize("timeout_ms", [0, 100])
def test_triton_gets_the_same_file_and_its_queue_timeout(
    repository: Path, tmp_path: Path, timeout_ms: int
) -> None:
    target = tmp_path / "triton"
    models.write_triton(repository, target, Path("/packages"), 2, timeout_ms)
    same = (target / "tiny" / "1" / "model.onnx").read_bytes()
    assert same == (repository / "tiny" / "1" / "model.onnx").read_bytes()
    config = text_format.Parse((target / "tiny" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert config.backend == "python"
    assert config.instance_group[0].count == 2
    assert config.HasField("dynamic_batching")
    policy = config.dynamic_batching.default_queue_policy
    assert policy.default_timeout_microseconds == timeout_ms * 1000
    assert policy.allow_timeout_override == bool(timeout_ms)
    assert config.parameters["packages"].string_value == "/packages"


def test_many_models_have_weights_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MANY_WIDTH", 32)
    models.write_many(tmp_path, 2)
    first, second = (
        onnx.load(tmp_path / name / "1" / "model.onnx").graph.initializer[0].raw_data
        for name in ("dense_00", "dense_01")
    )
    assert first != second
    assert sorted(path.name for path in (tmp_path / "dense_01").iterdir()) == [
        "1",
        "config.bin",
        "config.pbtxt",
    ]
