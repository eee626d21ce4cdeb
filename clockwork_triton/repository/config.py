"""config.pbtxt as it is written: read, named, its backend found; and what follows from a completed one."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton.errors import Code, ServerError

BACKEND = "onnxruntime"
PLATFORM = "onnxruntime_onnx"
ENSEMBLE_PLATFORM = "ensemble"
MODEL_FILENAME = "model.onnx"

LARGEST_CONFIG_BYTES = 4 << 20


def invalid(message: str) -> ServerError:
    return ServerError(Code.INVALID_ARG, message)


def read_config(directory: Path, config_name: str = "") -> Any:
    """The ModelConfig in a model's directory; an empty one where there is no file.

    `config_name` prefers `configs/<config_name>.pbtxt` over config.pbtxt, where that file exists.
    """
    path = directory / "config.pbtxt"
    if config_name and (named := directory / "configs" / f"{config_name}.pbtxt").is_file():
        path = named
    if not path.exists():
        return ModelConfig()
    try:
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise invalid(f"{path.name} is larger than {LARGEST_CONFIG_BYTES} bytes")
        return parse_text(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(f"failed to read {path.name}: {error}") from error


def parse_text(text: str, source: str = "config.pbtxt") -> Any:
    """ModelConfig from protobuf text. ServerError with line and column if it is not one."""
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise invalid(f"failed to read text proto from {source}: {error}") from error


def parse_json(text: str) -> Any:
    """ModelConfig from JSON, as the load request carries it; numbers may be given as strings."""
    try:
        if not text.lstrip().startswith("{"):
            raise json_format.ParseError("it is no JSON object")
        return json_format.Parse(text, ModelConfig())
    except (json_format.ParseError, RecursionError) as error:
        raise invalid(f"failed to parse the model configuration: {error}") from error


def name_config(config: Any, name: str) -> None:
    """Gives the configuration the name of its directory; ServerError if it has another."""
    if config.name and config.name != name:
        raise invalid(
            f"unexpected directory name '{name}' for model '{config.name}', "
            "directory name must equal model name"
        )
    config.name = name


def find_backend(config: Any, filenames: Collection[str]) -> None:
    """Fills `backend`, `platform` and `default_model_filename`, as Triton deduces them.

    `filenames`: what lies in the first version directory. ServerError for any backend but ONNX. An ensemble
    has no backend, and no file.
    """
    if config.HasField("ensemble_scheduling") or config.platform == ENSEMBLE_PLATFORM:
        if config.platform not in ("", ENSEMBLE_PLATFORM):
            raise invalid(
                f"ensemble scheduling cannot be set for model '{config.name}' whose platform is not ensemble"
            )
        config.platform = ENSEMBLE_PLATFORM
        return
    if not config.backend and not config.platform and not config.default_model_filename:
        if MODEL_FILENAME not in filenames:
            raise invalid(
                f"Invalid model name: Could not determine backend for model '{config.name}' with no backend "
                "in model configuration. Expected model name of the form 'model.<backend_name>'."
            )
        config.backend = BACKEND
    if not config.backend and (
        config.platform == PLATFORM or config.default_model_filename == MODEL_FILENAME
    ):
        config.backend = BACKEND
    if not config.backend:
        raise invalid(f"unexpected platform type '{config.platform}' for {config.name}")
    if config.backend != BACKEND:
        raise invalid(
            f"backend '{config.backend}' of model '{config.name}' is not available: this server serves ONNX "
            f"models, backend '{BACKEND}'"
        )
    config.platform = config.platform or PLATFORM
    if config.platform != PLATFORM:
        raise invalid(f"unexpected 'platform' and 'backend' pair, got:{config.platform}, {config.backend}")
    config.default_model_filename = config.default_model_filename or MODEL_FILENAME


def slo_ns(config: Any) -> int | None:
    """The model's parameter `slo_ms` in nanoseconds, None where it has none. ServerError if it is not one."""
    if "slo_ms" not in config.parameters:
        return None
    text = config.parameters["slo_ms"].string_value
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise invalid(f"parameter 'slo_ms' of model '{config.name}' must be a positive number, got '{text}'")
    return max(1, round(milliseconds * 1e6))
