from __future__ import annotations

import pytest

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import ServerError
from clockwork_triton.repository.agreement import check_agreement, input_shapes, visible_specs
from clockwork_triton.repository.config import parse_text


def one(x: tuple[int, ...], y: tuple[int, ...] | None = (-1, 2)) -> Signature:
    return Signature((SignatureTensor("X", "float32", x),), (SignatureTensor("Y", "float32", y),))


def config_of(x: str, y: str = "dims: [ 2 ]", batch: int = 8) -> object:
    return parse_text(
        f'name: "x" max_batch_size: {batch} input [ {{ name: "X" data_type: TYPE_FP32 {x} }} ] '
        f'output [ {{ name: "Y" data_type: TYPE_FP32 {y} }} ]'
    )


def test_the_dimensions_message_of_a_batching_model() -> None:
    config = parse_text(
        'name: "x" max_batch_size: 8 input [ { name: "INPUT0" data_type: TYPE_FP32 dims: [ 16, 1 ] } ]'
    )
    with pytest.raises(ServerError) as refusal:
        check_agreement(config, Signature((SignatureTensor("INPUT0", "float32", (-1, 16)),), ()))
    assert refusal.value.message == (
        "model 'x', tensor 'INPUT0': the model expects 2 dimensions (shape [-1,16]) but the model "
        "configuration specifies 3 dimensions (an initial batch dimension because max_batch_size > 0 "
        "followed by the explicit tensor shape, making complete shape [-1,16,1])"
    )


def test_the_dimensions_message_of_a_literal_model() -> None:
    with pytest.raises(ServerError) as refusal:
        check_agreement(config_of("dims: [ 4, 3 ]", batch=0), one((4, 5)))
    assert refusal.value.message == (
        "model 'x', tensor 'X': the model expects 2 dimensions (shape [4,5]) but the model configuration "
        "specifies 2 dimensions (shape [4,3])"
    )


def test_a_fixed_first_dimension_cannot_batch() -> None:
    with pytest.raises(ServerError, match=r"first dimension must be -1; .* by the model is \[1,3\]"):
        check_agreement(config_of("dims: [ 3 ]"), one((1, 3)))


def test_a_missing_input() -> None:
    two = Signature(
        (SignatureTensor("X", "float32", (-1, 3)), SignatureTensor("Z", "float32", (-1, 3))),
        (SignatureTensor("Y", "float32", (-1, 2)),),
    )
    with pytest.raises(ServerError) as refusal:
        check_agreement(config_of("dims: [ 3 ]"), two)
    assert (
        refusal.value.message == "unable to load model 'x', configuration expects 1 inputs, model provides 2"
    )


def test_unexpected_names() -> None:
    config = config_of("dims: [ 3 ]")
    other = Signature((SignatureTensor("A", "float32", (-1, 3)),), ())
    with pytest.raises(ServerError) as refusal:
        check_agreement(config, other)
    assert refusal.value.message == "unexpected inference input 'X', allowed inputs are: A"
    outputs = (SignatureTensor("B", "float32", (-1, 2)), SignatureTensor("A", "float32", (-1, 2)))
    with pytest.raises(ServerError) as refusal:
        check_agreement(config, Signature(one((-1, 3)).inputs, outputs))
    assert refusal.value.message == "unexpected inference output 'Y', allowed outputs are: A, B"


def test_another_datatype() -> None:
    integers = Signature((SignatureTensor("X", "int64", (-1, 3)),), one((-1, 3)).outputs)
    with pytest.raises(ServerError) as refusal:
        check_agreement(config_of("dims: [ 3 ]"), integers)
    assert refusal.value.message == (
        "unable to load model 'x', configuration expects datatype TYPE_FP32 for input 'X', model provides "
        "TYPE_INT64"
    )


def test_optional_inputs_are_refused() -> None:
    with pytest.raises(
        ServerError, match="optional input 'X' is not supported for models that support batching"
    ):
        check_agreement(config_of("dims: [ 3 ] optional: true"), one((-1, 3)))


def test_a_scalar_is_written_as_ones() -> None:
    literal = config_of("dims: [ 1 ]", batch=0)
    check_agreement(literal, one((), (2,)))
    assert input_shapes(literal, one((), (2,))) == {"X": ()}
    with pytest.raises(ServerError, match=r"scalar tensor 'X', should only provide 1 .* provided: \[2\]\."):
        check_agreement(config_of("dims: [ 2 ]", batch=0), one((), (2,)))


def test_a_subset_of_the_outputs_may_be_served() -> None:
    more = (*one((-1, 3)).outputs, SignatureTensor("extra", "float32", (-1, 9)))
    check_agreement(config_of("dims: [ 3 ]"), Signature(one((-1, 3)).inputs, more))


def test_dims_fix_what_the_file_leaves_open() -> None:
    config = config_of("dims: [ 128, 3 ]", "dims: [ -1, 2 ]")
    signature = one((-1, -1, 3), (-1, -1, 2))
    check_agreement(config, signature)
    assert input_shapes(config, signature) == {"X": (128, 3)}


def test_an_open_dimension_is_refused_with_what_to_write() -> None:
    config = config_of("dims: [ 3, -1 ]")
    signature = one((-1, 3, -1))
    check_agreement(config, signature)
    with pytest.raises(ServerError) as refusal:
        input_shapes(config, signature)
    assert refusal.value.message == (
        "input 'X' of model 'x': dimension 1 of [3,-1] is variable, but a model is compiled for fixed "
        'shapes; replace it by a number in config.pbtxt: input [ { name: "X" data_type: TYPE_FP32 '
        "dims: [ 3, N ] } ] with a number for N (the batch dimension is not part of dims)"
    )


def test_a_reshape_is_what_the_model_sees() -> None:
    config = config_of("dims: [ 1 ] reshape { }", "dims: [ 2, 2 ] reshape { shape: [ 4 ] }")
    signature = one((-1,), (-1, 4))
    check_agreement(config, signature)
    assert input_shapes(config, signature) == {"X": ()}
    inputs = visible_specs(config.input, (TensorSpec("X", "float32", ()),), "x")
    outputs = visible_specs(config.output, (TensorSpec("Y", "float32", (4,)),), "x")
    assert (inputs[0].shape, outputs[0].shape) == ((1,), (2, 2))


def test_an_output_shape_is_what_it_turned_out() -> None:
    config = config_of("dims: [ 3 ]", "dims: [ 2, -1, 6 ] reshape { shape: [ 2, -1, 3, 2 ] }")
    outputs = visible_specs(config.output, (TensorSpec("Y", "float32", (2, 7, 3, 2)),), "x")
    assert outputs[0].shape == (2, 7, 6)


def test_an_output_that_is_not_as_promised() -> None:
    config = config_of("dims: [ 3 ]", "dims: [ 5 ]")
    check_agreement(config, one((-1, 3), (-1, -1)))
    with pytest.raises(ServerError, match=r"promises shape \[5\], the model makes \[2\]"):
        visible_specs(config.output, (TensorSpec("Y", "float32", (2,)),), "x")


def test_an_output_of_unknown_rank_is_taken_at_its_word() -> None:
    check_agreement(config_of("dims: [ 3 ]", "dims: [ 5, 6 ]"), one((-1, 3), None))
