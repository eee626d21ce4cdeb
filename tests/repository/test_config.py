from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.config import (
    find_backend,
    name_config,
    parse_json,
    parse_text,
    read_config,
)


def test_no_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert read_config(tmp_path) == ModelConfig()


def test_the_named_configuration_is_preferred_where_it_exists(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text("max_batch_size: 1")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "big.pbtxt").write_text("max_batch_size: 64")
    assert read_config(tmp_path, "big").max_batch_size == 64
    assert read_config(tmp_path, "other").max_batch_size == 1
    assert read_config(tmp_path).max_batch_size == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'name: "m"\nmax_batch_sise: 3', "2:1"),
        (b"max_batch_size: eight", "1:17"),
        (b"input [ { dims: [ 1 }", "Expected"),
        (b"\xff\xfe", "utf-8"),
        (b"#" * (5 << 20), "larger than"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "config.pbtxt").write_bytes(content)
    with pytest.raises(ServerError, match=r"config\.pbtxt") as refusal:
        read_config(tmp_path)
    assert refusal.value.code is Code.INVALID_ARG
    assert told in refusal.value.message


def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").mkdir()
    with pytest.raises(ServerError, match="failed to read"):
        read_config(tmp_path)


def test_json_takes_numbers_as_strings() -> None:
    assert parse_json('{"max_batch_size": "16"}').max_batch_size == 16
    with pytest.raises(ServerError, match="failed to parse"):
        parse_json('{"max_batch_size": ')


def test_the_name_must_be_that_of_the_directory() -> None:
    config = ModelConfig()
    name_config(config, "m")
    assert config.name == "m"
    with pytest.raises(ServerError) as refusal:
        name_config(config, "other")
    assert refusal.value.message == (
        "unexpected directory name 'other' for model 'm', directory name must equal model name"
    )


@pytest.mark.parametrize(
    "text",
    ["", 'backend: "onnxruntime"', 'platform: "onnxruntime_onnx"', 'default_model_filename: "model.onnx"'],
)
def test_the_backend_is_deduced(text: str) -> None:
    config = parse_text(text)
    find_backend(config, ["model.onnx"])
    assert (config.backend, config.platform, config.default_model_filename) == (
        "onnxruntime",
        "onnxruntime_onnx",
        "model.onnx",
    )


@pytest.mark.parametrize(
    ("text", "files", "message"),
    [
        (
            "",
            ["model.plan"],
            "Invalid model name: Could not determine backend for model 'm' with no backend in model "
            "configuration. Expected model name of the form 'model.<backend_name>'.",
        ),
        ('platform: "tensorrt_plan"', [], "unexpected platform type 'tensorrt_plan' for m"),
        (
            'backend: "python"',
            [],
            "backend 'python' of model 'm' is not available: this server serves ONNX models, "
            "backend 'onnxruntime'",
        ),
        (
            'backend: "onnxruntime" platform: "tensorrt_plan"',
            [],
            "unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime",
        ),
    ],
)
def test_other_backends_are_refused(text: str, files: list[str], message: str) -> None:
    config = parse_text(text)
    config.name = "m"
    with pytest.raises(ServerError) as refusal:
        find_backend(config, files)
    assert refusal.value.message == message
