from __future__ import annotations

import pytest

from clockwork_triton.errors import ServerError
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.validation import validate

X = 'name: "X" data_type: TYPE_FP32'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: -1", "'max_batch_size' must be non-negative value for m"),
        (
            "response_cache { enable: true } sequence_batching { }",
            "Response caching is not supported for models with sequence batching: m",
        ),
        ("input [ { dims: [ 1 ] } ]", "model input must specify 'name' for m"),
        ('input [ { name: "X" dims: [ 1 ] } ]', "model input 'X' must specify 'data_type' for m"),
        ('output [ { name: "Y" dims: [ 1 ] } ]', "model output 'Y' must specify 'data_type' for m"),
        (f"input [ {{ {X} }} ]", "model input 'X' must specify 'dims' for m"),
        (
            f"input [ {{ {X} dims: [ 0 ] }} ]",
            "model input 'X' dimension must be integer >= 1, or -1 to indicate a variable-size dimension "
            "for m",
        ),
        (
            f"input [ {{ {X} dims: [ 1 ] reshape {{ }} }} ]",
            "model input 'X' cannot have empty reshape for non-batching model as scalar tensors are not "
            "supported for m",
        ),
        (
            f"input [ {{ {X} dims: [ 4, 2 ] reshape {{ shape: [ 9 ] }} }} ]",
            "model input 'X' has different size for dims and reshape for m",
        ),
        (
            f"input [ {{ {X} dims: [ 4, -1 ] reshape {{ shape: [ 4 ] }} }} ]",
            "model input 'X' has different number of variable-size dimensions for dims and reshape for m",
        ),
        (
            f"input [ {{ {X} dims: [ 2, -1, 4 ] reshape {{ shape: [ 4, -1, 2 ] }} }} ]",
            "model input 'X' has different size for dims and reshape for m",
        ),
        (
            f"input [ {{ {X} dims: [ 1 ] format: FORMAT_NCHW }} ]",
            "model input NHWC/NCHW require 3 dims for m",
        ),
        (
            f"input [ {{ {X} dims: [ 1 ] is_shape_tensor: true }} ]",
            "shape tensors are only supported for TensorRT platform for m",
        ),
        (
            f"input [ {{ {X} dims: [ 1 ] }}, {{ {X} dims: [ 1 ] }} ]",
            "model input 'X' appears more than once for m",
        ),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 8 ] }",
            "dynamic batching preferred size must be <= max batch size for m",
        ),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 0 ] }",
            "dynamic batching preferred size must be positive for m",
        ),
        (
            "dynamic_batching { priority_levels: 2 }",
            "default priority level must be in range [1, 2] for m",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 "
            "priority_queue_policy { key: 3 value { } } }",
            "priority queue policy must have priority level in range [1, 2] for m",
        ),
        (
            "dynamic_batching { priority_levels: 2 default_priority_level: 1 preserve_ordering: true }",
            "Only one priority level is allowed when 'preserve_ordering' is true for m",
        ),
        (
            "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY "
            "default_timeout_microseconds: 1 } }",
            "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for m",
        ),
        (
            "instance_group [ { kind: KIND_GPU } ]",
            "instance group m_0 of model m has kind KIND_GPU but no GPUs are available",
        ),
        (
            "instance_group [ { kind: KIND_CPU gpus: [ 0 ] } ]",
            "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs",
        ),
    ],
)
def test_messages(text: str, message: str) -> None:
    config = parse_text(text)
    config.name = "m"
    with pytest.raises(ServerError) as refusal:
        validate(config)
    assert refusal.value.message == message


def test_a_gpu_that_is_not_there() -> None:
    config = parse_text("instance_group [ { kind: KIND_GPU gpus: [ 42 ] } ]")
    config.name = "x"
    with pytest.raises(
        ServerError, match="instance group x_0 of model x specifies invalid or unsupported gpu id 42"
    ):
        validate(config, gpus={0, 1})


def test_reshapes_that_keep_the_elements_between_variable_dimensions() -> None:
    validate(parse_text(f"input [ {{ {X} dims: [ 2, 4, -1, 6 ] reshape {{ shape: [ 8, -1, 1, 6 ] }} }} ]"))
    validate(parse_text(f"max_batch_size: 2 input [ {{ {X} dims: [ 1 ] reshape {{ }} }} ]"))
