"""Triton's checks of a configuration by itself, in Triton's words (core: model_config_utils.cc)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelInput, ModelInstanceGroup, ModelQueuePolicy

from clockwork_triton.repository.config import invalid

_INVALID_TYPE = DataType.Value("TYPE_INVALID")
_VARIABLE = "or -1 to indicate a variable-size dimension"


def validate(config: Any, gpus: Collection[int] = ()) -> None:
    """ServerError INVALID_ARG for the first thing wrong. `gpus`: ids of those there are."""
    if config.max_batch_size < 0:
        raise invalid(f"'max_batch_size' must be non-negative value for {config.name}")
    if config.response_cache.enable and config.HasField("sequence_batching"):
        raise invalid(f"Response caching is not supported for models with sequence batching: {config.name}")
    _validate_batching(config)
    _validate_instance_groups(config, gpus)
    for kind, tensors in (("input", config.input), ("output", config.output)):
        names = [tensor.name for tensor in tensors]
        for tensor in tensors:
            if problem := _tensor_problem(tensor, kind, config.max_batch_size):
                raise invalid(f"{problem} for {config.name}")
            if names.count(tensor.name) > 1:
                raise invalid(f"model {kind} '{tensor.name}' appears more than once for {config.name}")


def _validate_batching(config: Any) -> None:
    batching = config.dynamic_batching
    for size in batching.preferred_batch_size:
        if size <= 0:
            raise invalid(f"dynamic batching preferred size must be positive for {config.name}")
        if size > config.max_batch_size:
            raise invalid(f"dynamic batching preferred size must be <= max batch size for {config.name}")
    levels = batching.priority_levels
    if levels and not 1 <= batching.default_priority_level <= levels:
        raise invalid(f"default priority level must be in range [1, {levels}] for {config.name}")
    if levels and any(not 1 <= level <= levels for level in batching.priority_queue_policy):
        raise invalid(
            f"priority queue policy must have priority level in range [1, {levels}] for {config.name}"
        )
    if not batching.preserve_ordering:
        return
    if levels > 1:
        raise invalid(
            f"Only one priority level is allowed when 'preserve_ordering' is true for {config.name}"
        )
    policies = (batching.default_queue_policy, *batching.priority_queue_policy.values())
    if any(
        policy.default_timeout_microseconds and policy.timeout_action == ModelQueuePolicy.DELAY
        for policy in policies
    ):
        raise invalid(
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true "
            f"for {config.name}"
        )


def _validate_instance_groups(config: Any, gpus: Collection[int]) -> None:
    for index, group in enumerate(config.instance_group):
        prefix = f"instance group {group.name or f'{config.name}_{index}'} of model {config.name}"
        if group.kind == ModelInstanceGroup.KIND_GPU:
            if not group.gpus and not gpus:
                raise invalid(f"{prefix} has kind KIND_GPU but no GPUs are available")
            for gpu in group.gpus:
                if gpu not in gpus:
                    raise invalid(
                        f"{prefix} specifies invalid or unsupported gpu id {gpu}. GPUs with at least the "
                        "minimum required CUDA compute compatibility of 6.000000 are: "
                        + ", ".join(str(there) for there in sorted(gpus))
                    )
        elif group.kind == ModelInstanceGroup.KIND_CPU and group.gpus:
            raise invalid(f"{prefix} has kind KIND_CPU but specifies one or more GPUs")
        elif group.kind == ModelInstanceGroup.KIND_MODEL and group.gpus:
            raise invalid(f"{prefix} has kind KIND_MODEL but specifies one or more GPUs")
        if group.profile:
            raise invalid(
                f"{prefix} and platform {config.platform}specifies profile field which is only supported "
                "for TensorRT models"
            )


def _tensor_problem(tensor: Any, kind: str, max_batch_size: int) -> str:
    """What is wrong with an input or output of the configuration; "" if nothing is."""
    if not tensor.name:
        return f"model {kind} must specify 'name'"
    prefix = f"model {kind} '{tensor.name}' "
    if tensor.data_type == _INVALID_TYPE:
        return f"{prefix}must specify 'data_type'"
    if not tensor.dims:
        return f"{prefix}must specify 'dims'"
    if any(dim < 1 and dim != -1 for dim in tensor.dims):
        return f"{prefix}dimension must be integer >= 1, {_VARIABLE}"
    if tensor.HasField("reshape") and (problem := _reshape_problem(tensor, max_batch_size)):
        return prefix + problem
    if kind == "input" and tensor.format != ModelInput.FORMAT_NONE and len(tensor.dims) != 3:
        return "model input NHWC/NCHW require 3 dims"
    if tensor.is_shape_tensor:
        return "shape tensors are only supported for TensorRT platform"
    if tensor.is_non_linear_format_io:
        return "Non-linear IO format is only supported for the TensorRT platform"
    return ""


def _reshape_problem(tensor: Any, max_batch_size: int) -> str:
    shape = tuple(tensor.reshape.shape)
    if not shape and max_batch_size == 0:
        return "cannot have empty reshape for non-batching model as scalar tensors are not supported"
    if any(dim < 1 and dim != -1 for dim in shape):
        return f"reshape dimensions must be integer >= 1, {_VARIABLE}"
    given, wanted = _segments(tensor.dims), _segments(shape)
    if len(given) != len(wanted):
        return "has different number of variable-size dimensions for dims and reshape"
    if given != wanted:
        return "has different size for dims and reshape"
    return ""


def _segments(dims: Sequence[int]) -> list[int]:
    """Elements in each run of fixed dimensions between the variable ones."""
    runs: list[list[int]] = [[]]
    for dim in dims:
        if dim == -1:
            runs.append([])
        else:
            runs[-1].append(dim)
    return [math.prod(run) for run in runs]
