from __future__ import annotations

import pytest

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.datatypes import NUMPY_TO_WIRE
from clockwork_triton.errors import ServerError
from clockwork_triton.repository.completion import auto_complete, model_type, normalise
from clockwork_triton.repository.config import parse_text


def signature(x: tuple[int, ...], y: tuple[int, ...] | None) -> Signature:
    return Signature((SignatureTensor("X", "float32", x),), (SignatureTensor("Y", "object", y),))


def test_a_model_with_variable_first_dimensions_batches() -> None:
    completed = auto_complete(parse_text('name: "m"'), signature((-1, 3, 5), (-1,)))
    expected = parse_text(
        """
        name: "m" max_batch_size: 4 dynamic_batching { }
        input [ { name: "X" data_type: TYPE_FP32 dims: [ 3, 5 ] } ]
        output [ { name: "Y" data_type: TYPE_STRING dims: [ 1 ] reshape { } } ]
        """
    )
    assert completed == expected


def test_a_model_with_a_fixed_first_dimension_does_not() -> None:
    completed = auto_complete(parse_text('name: "m"'), signature((1, 3), (-1, 2)))
    expected = parse_text(
        'name: "m" input [ { name: "X" data_type: TYPE_FP32 dims: [ 1, 3 ] } ] '
        'output [ { name: "Y" data_type: TYPE_STRING dims: [ -1, 2 ] } ]'
    )
    assert completed == expected


def test_a_scalar_of_a_model_that_does_not_batch_is_one_element() -> None:
    completed = auto_complete(parse_text(""), signature((), (2,)))
    assert list(completed.input[0].dims) == [1]
    assert not completed.input[0].HasField("reshape")


def test_what_is_written_stays() -> None:
    written = parse_text('max_batch_size: 16 sequence_batching { } input [ { name: "Z" } ]')
    completed = auto_complete(written, signature((-1, 3), (-1, 2)))
    assert completed.max_batch_size == 16
    assert not completed.HasField("dynamic_batching")
    assert [tensor.name for tensor in completed.input] == ["Z"]
    assert [tensor.name for tensor in completed.output] == ["Y"]


def test_complete_sections_are_left_alone_even_without_a_batch_size() -> None:
    written = parse_text('input [ { name: "X" } ] output [ { name: "Y" } ]')
    assert auto_complete(written, signature((-1, 3), (-1, 2))) == written


@pytest.mark.parametrize(("default", "expected"), [(16, 16), (1, 1), (0, 0), (-3, 0)])
def test_the_default_batch_size_can_be_chosen(default: int, expected: int) -> None:
    completed = auto_complete(parse_text(""), signature((-1, 3), (-1, 2)), default)
    assert completed.max_batch_size == expected
    assert completed.HasField("dynamic_batching") == (expected > 1)
    assert len(completed.input[0].dims) == (1 if expected else 2)


def test_a_batch_size_for_a_model_that_cannot_batch_is_refused() -> None:
    with pytest.raises(ServerError) as refusal:
        auto_complete(parse_text('name: "m" max_batch_size: 2'), signature((1, 3), (1, 2)))
    assert refusal.value.message == (
        "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is "
        "specified"
    )


def test_an_output_of_unknown_rank_must_be_written() -> None:
    with pytest.raises(ServerError, match="does not tell the shape of 'Y'"):
        auto_complete(parse_text('name: "m"'), signature((1, 3), None))


@pytest.mark.parametrize("dtype", NUMPY_TO_WIRE)
def test_every_datatype_has_a_model_type(dtype: str) -> None:
    assert model_type(dtype) != 0


def test_an_unknown_datatype_has_none() -> None:
    assert model_type("complex64") == 0


def test_normalising_fills_what_triton_shows() -> None:
    config = parse_text('name: "m" max_batch_size: 8 dynamic_batching { }')
    normalise(config)
    assert config == parse_text(
        """
        name: "m" max_batch_size: 8
        version_policy { latest { num_versions: 1 } }
        dynamic_batching { preferred_batch_size: [ 8 ] }
        optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
        instance_group [ { name: "m" kind: KIND_CPU count: 1 } ]
        """
    )


def test_instance_groups_take_the_gpus_there_are() -> None:
    config = parse_text('name: "m" instance_group [ { }, { kind: KIND_CPU }, { gpus: [ 7 ] } ]')
    normalise(config, gpus={1, 0})
    groups = [(group.name, list(group.gpus)) for group in config.instance_group]
    assert groups == [("m_0", [0, 1]), ("m_1", []), ("m_2", [7])]
    assert [group.kind for group in config.instance_group] == [1, 2, 2]
