from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton.errors import ServerError
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.fields import FIELDS, notices


def leaves(descriptor: Any, prefix: str = "") -> Iterator[str]:
    for field in descriptor.fields:
        path = f"{prefix}{field.name}"
        if path in FIELDS or field.message_type is None:
            yield path
        else:
            yield from leaves(field.message_type, f"{path}.")


def test_every_field_of_the_schema_has_an_effect() -> None:
    assert sorted(leaves(ModelConfig.DESCRIPTOR)) == sorted(FIELDS)


def test_what_tunes_triton_is_named_in_one_line_a_reason() -> None:
    config = parse_text(
        """
        max_batch_size: 8
        dynamic_batching { max_queue_delay_microseconds: 100 preserve_ordering: true }
        instance_group [ { count: 1 }, { count: 4 } ]
        parameters { key: "intra_op_thread_count" value { string_value: "4" } }
        parameters { key: "slo_ms" value { string_value: "4" } }
        """
    )
    assert notices(config) == (
        "instance_group.count: no effect, a device runs one inference at a time",
        "dynamic_batching.max_queue_delay_microseconds, dynamic_batching.preserve_ordering: no effect, "
        "the controller schedules by predicted running times",
        "parameters intra_op_thread_count: no effect, no such parameter is known",
    )


def test_a_plain_configuration_gives_no_notice() -> None:
    config = parse_text(
        'name: "m" platform: "onnxruntime_onnx" max_batch_size: 8 '
        'input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ] instance_group [ { count: 1 } ] '
        "dynamic_batching { }"
    )
    assert notices(config) == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("model_transaction_policy { decoupled: true }", "model_transaction_policy.decoupled"),
        ("sequence_batching { iterative_sequence: true }", "sequence_batching.iterative_sequence"),
        (
            "ensemble_scheduling { step [ { model_namespace: 'm' } ] }",
            "ensemble_scheduling.step.model_namespace",
        ),
        ("input [ { allow_ragged_batch: true } ]", "input.allow_ragged_batch"),
        ("batch_input [ { target_name: 'x' } ]", "batch_input"),
        ("model_operations { op_library_filename: 'x.so' }", "model_operations.op_library_filename"),
    ],
)
def test_what_would_change_answers_is_refused(text: str, path: str) -> None:
    config = parse_text(text)
    config.name = "m"
    with pytest.raises(ServerError, match=rf"^'{path}' of model 'm': "):
        notices(config)


def test_a_model_that_is_not_decoupled_is_accepted() -> None:
    assert notices(parse_text("model_transaction_policy { decoupled: false }")) == ()
