from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.errors import ServerError
from clockwork_triton.repository.agreement import check_agreement
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.plan import ConfigOptions, plan_model, prepare_version
from clockwork_triton.repository.sequence import Control, SequencePlan, sequence_plan

START = (
    'control_input [ { name: "S" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] } ]'
)
STATE = 'state [ { input_name: "I" output_name: "O" data_type: TYPE_FP32 dims: [ 2 ] } ]'


def plan_of(text: str, directory: Path | None = None) -> SequencePlan | None:
    return sequence_plan(parse_text(f'name: "m" {text}'), directory)


def test_a_model_without_sequences_has_no_plan() -> None:
    assert plan_of("max_batch_size: 4") is None


def test_controls_and_states_are_tensors_of_the_model() -> None:
    plan = plan_of(f"sequence_batching {{ {START} {STATE} }}")
    assert plan is not None
    assert (plan.inputs, plan.outputs, plan.shapes) == (("S", "I"), ("O",), {"S": (1,), "I": (2,)})
    assert plan.controls[0].control is Control.START
    assert plan.controls[0].values == (bytes(4), b"\1\0\0\0")
    assert plan.states[0].initial == bytes(8)
    assert plan.idle_ns == 1_000_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"sequence_batching {{ {START} {START} }}",
            "specifies multiple CONTROL_SEQUENCE_START tensors for m",
        ),
        (
            'sequence_batching { control_input [ { name: "E" control [ '
            "{ kind: CONTROL_SEQUENCE_END } ] } ] }",
            "must specify one of 'int32_false_true', 'fp32_false_true' or 'bool_false_true' for "
            "CONTROL_SEQUENCE_END for m",
        ),
        (
            'sequence_batching { control_input [ { name: "S" control [ { kind: CONTROL_SEQUENCE_END '
            "int32_false_true: [ 1 ] } ] } ] }",
            "must have exactly 2 entries for CONTROL_SEQUENCE_END for m",
        ),
        (
            'sequence_batching { control_input [ { name: "C" control [ { kind: CONTROL_SEQUENCE_CORRID '
            "data_type: TYPE_FP32 } ] } ] }",
            "unexpected data type for control CONTROL_SEQUENCE_CORRID for m",
        ),
        (
            f"sequence_batching {{ {STATE.replace('[ 2 ]', '[ -1 ]')} }}",
            "state 'I' of model 'm' must have fixed dims",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(ServerError, match=said):
        plan_of(text)


def test_a_state_may_begin_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "initial_state").mkdir()
    (tmp_path / "initial_state" / "begin").write_bytes(b"12345678")

    def text(name: str) -> str:
        given = STATE.replace("dims:", f'initial_state: [ {{ name: "i" data_file: "{name}" }} ] dims:')
        return f"sequence_batching {{ {given} }}"

    plan = plan_of(text("begin"), tmp_path)
    assert plan is not None
    assert plan.states[0].initial == b"12345678"
    for name, said in (("other", "failed to read the initial state"), ("../x", "leads out of the model")):
        with pytest.raises(ServerError, match=said):
            plan_of(text(name), tmp_path)
    (tmp_path / "initial_state" / "begin").write_bytes(b"1")
    with pytest.raises(ServerError, match="has 1 bytes, expected 8"):
        plan_of(text("begin"), tmp_path)


SIGNATURE = Signature(
    (
        SignatureTensor("X", "float32", (-1, 3)),
        SignatureTensor("I", "float32", (-1, 2)),
        SignatureTensor("S", "int32", (-1, 1)),
    ),
    (SignatureTensor("O", "float32", (-1, 2)), SignatureTensor("Y", "float32", (-1, 3))),
)


def test_clients_see_neither_controls_nor_states(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").touch()
    config = parse_text(f'name: "m" platform: "onnxruntime_onnx" sequence_batching {{ {START} {STATE} }}')
    options = ConfigOptions()
    plan = plan_model("m", tmp_path, [1], options, config)
    source = prepare_version(plan, 1, SIGNATURE, options).source
    assert [tensor.name for tensor in source.config.input] == ["X"]
    assert [tensor.name for tensor in source.config.output] == ["Y"]
    assert source.shapes == {"X": (3,), "S": (1,), "I": (2,)}
    assert source.config.sequence_batching.WhichOneof("strategy_choice") == "direct"
    assert not source.config.HasField("dynamic_batching")


def test_the_file_must_have_them() -> None:
    config = parse_text(
        'name: "m" max_batch_size: 4 input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ] '
        'output [ { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] } ] '
        f"sequence_batching {{ {START} {STATE} }}"
    )
    plan = sequence_plan(config)
    check_agreement(config, SIGNATURE, plan)
    with pytest.raises(ServerError, match="configuration expects 3 inputs, model provides 2"):
        check_agreement(config, Signature(SIGNATURE.inputs[:2], SIGNATURE.outputs), plan)
    other = Signature((*SIGNATURE.inputs[:2], SignatureTensor("S", "int64", (-1, 1))), SIGNATURE.outputs)
    with pytest.raises(
        ServerError, match="expects datatype TYPE_INT32 for input 'S', model provides TYPE_INT64"
    ):
        check_agreement(config, other, plan)
    with pytest.raises(ServerError, match="unexpected inference output 'O'"):
        check_agreement(config, Signature(SIGNATURE.inputs, SIGNATURE.outputs[1:]), plan)
