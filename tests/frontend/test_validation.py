from __future__ import annotations

from dataclasses import replace
from math import prod
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ExecutionError, ServerError
from clockwork_triton.frontend.request import InferRequest, InputTensor, OutputTensor
from clockwork_triton.frontend.validation import RequestChecker, fill_layout
from tests.frontend.fakes import served_model, simple

SIMPLE = RequestChecker(simple())
UNBATCHED = RequestChecker(simple(max_batch_size=0))
STRINGS = RequestChecker(
    served_model("words", [TensorSpec("IN", "object", (2,))], [TensorSpec("OUT", "object", (2,))])
)
UNKNOWN_ID = "[request id: <id_unknown>] "


def tensor(
    name: str, shape: tuple[int, ...] = (1, 16), datatype: str = "INT32", size: int | None = None
) -> InputTensor:
    return InputTensor(name, datatype, shape, b"x" * (64 * abs(shape[0]) if size is None else size))


def request(*inputs: InputTensor, outputs: tuple[str, ...] = (), request_id: str = "") -> InferRequest:
    return InferRequest(inputs, outputs, request_id)


def good(rows: int = 1) -> list[InputTensor]:
    return [InputTensor(name, "INT32", (rows, 16), bytes([i]) * 64 * rows) for i, name in enumerate(INPUTS)]


INPUTS = ("INPUT0", "INPUT1")


def refusal(checker: RequestChecker, asked: InferRequest) -> str:
    with pytest.raises(ServerError) as caught:
        checker.check(asked)
    assert caught.value.code is Code.INVALID_ARG
    return caught.value.message


def test_inputs_come_out_in_the_models_order_whatever_theirs() -> None:
    first, second = good(3)
    checked = SIMPLE.check(request(second, first))
    assert checked.rows == 3
    assert checked.inputs == (first.data, second.data)


def test_the_layout_is_shared_and_follows_the_outputs_asked_for() -> None:
    both = SIMPLE.check(request(*good(2))).selection
    assert both.layout.tensors == (
        OutputTensor("OUTPUT0", "INT32", (2, 16)),
        OutputTensor("OUTPUT1", "INT32", (2, 16)),
    )
    assert both.indices == (0, 1)
    assert SIMPLE.check(request(*good(2))).selection.layout is both.layout
    swapped = SIMPLE.check(request(*good(2), outputs=("OUTPUT1", "OUTPUT0"))).selection
    assert swapped.indices == (1, 0)
    assert [t.name for t in swapped.layout.tensors] == ["OUTPUT1", "OUTPUT0"]


def test_the_layouts_kept_are_bounded() -> None:
    checker = RequestChecker(simple(max_batch_size=1000))
    for rows in range(1, 1000):
        checker.check(request(*good(rows)))
    assert len(checker._selections) <= 256


def test_without_batching_shapes_are_taken_literally() -> None:
    inputs = [InputTensor(name, "INT32", (16,), bytes(64)) for name in INPUTS]
    checked = UNBATCHED.check(request(*inputs))
    assert checked.rows == 1
    assert checked.selection.layout.tensors[0].shape == (16,)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            request(tensor("INPUT0"), tensor("INPUT0")),
            f"{UNKNOWN_ID}input 'INPUT0' already exists in request",
        ),
        (
            request(*good(), outputs=("OUTPUT0",) * 2),
            f"{UNKNOWN_ID}output 'OUTPUT0' already exists in request",
        ),
        (request(*good(), outputs=("X",)), "unexpected inference output 'X' for model 'simple'"),
        (
            request(outputs=("X",)),
            "unexpected inference output 'X' for model 'simple'",
        ),
        (
            request(),
            UNKNOWN_ID
            + "expected 2 inputs but got 0 inputs for model 'simple'. Got input(s) [], but missing "
            "required input(s) ['INPUT0','INPUT1']. Please provide all required input(s).",
        ),
        (
            request(tensor("INPUT1"), request_id="a7"),
            "[request id: a7] expected 2 inputs but got 1 inputs for model 'simple'. "
            "Got input(s) ['INPUT1'], but missing required input(s) ['INPUT0']. "
            "Please provide all required input(s).",
        ),
        (
            request(*good(), tensor("X")),
            UNKNOWN_ID + "expected 2 inputs but got 3 inputs for model 'simple'. Got input(s) "
            "['INPUT0','INPUT1','X'], but missing required input(s) ]. Please provide all required input(s).",
        ),
        (
            request(tensor("INPUT0"), tensor("X")),
            "unexpected inference input 'X' for model 'simple'",
        ),
        (
            request(InputTensor("INPUT0", "INT32", (), b""), tensor("INPUT1")),
            UNKNOWN_ID + "input 'INPUT0' has no shape but model requires batch dimension for 'simple'",
        ),
        (
            request(tensor("INPUT0"), tensor("INPUT1", (2, 16))),
            UNKNOWN_ID + "input 'INPUT1' batch size does not match other inputs for 'simple'",
        ),
        (
            request(*good(9)),
            UNKNOWN_ID + "inference request batch-size must be <= 8 for 'simple'",
        ),
        (
            request(tensor("INPUT0"), tensor("INPUT1", datatype="FP32")),
            UNKNOWN_ID + "inference input 'INPUT1' data-type is 'FP32', but model 'simple' expects 'INT32'",
        ),
        (
            request(tensor("INPUT0", datatype="FLOAT"), tensor("INPUT1")),
            UNKNOWN_ID
            + "inference input 'INPUT0' data-type is '<invalid>', but model 'simple' expects 'INT32'",
        ),
        (
            request(tensor("INPUT0", (1, -1)), tensor("INPUT1")),
            UNKNOWN_ID + "All input dimensions should be specified for input 'INPUT0' for model 'simple', "
            "got [1,-1]",
        ),
        (
            request(tensor("INPUT0", (1, 17)), tensor("INPUT1")),
            UNKNOWN_ID
            + "unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [1,17]. "
            "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be "
            "prepended to each input shape. If you want to specify the full shape including the batch dim "
            "in your input dims config, try setting max_batch_size to zero. See the model configuration "
            "docs for more info on max_batch_size.",
        ),
        (
            request(tensor("INPUT0", (0, 16)), tensor("INPUT1", (0, 16))),
            UNKNOWN_ID + "inference request batch-size must be >= 1 for 'simple', got 0",
        ),
        (
            request(tensor("INPUT0"), tensor("INPUT1", size=65)),
            UNKNOWN_ID
            + "input byte size mismatch for input 'INPUT1' for model 'simple'. Expected 64, got 65",
        ),
        (
            request(tensor("INPUT0", (2, 16)), tensor("INPUT1", (2, 16), size=0)),
            UNKNOWN_ID
            + "input byte size mismatch for input 'INPUT1' for model 'simple'. Expected 128, got 0",
        ),
    ],
)
def test_refusals_in_tritons_words(asked: InferRequest, message: str) -> None:
    assert refusal(SIMPLE, asked) == message


def test_the_shape_refusal_of_a_model_without_batching_has_no_note() -> None:
    message = refusal(UNBATCHED, request(tensor("INPUT0", (1, 16)), tensor("INPUT1", (1, 16))))
    assert message == (
        UNKNOWN_ID + "unexpected shape for input 'INPUT0' for model 'simple'. Expected [16], got [1,16]. "
    )


def test_string_elements_are_counted() -> None:
    two = pack("<I", 1) + b"a" + pack("<I", 2) + b"bc"
    assert STRINGS.check(request(InputTensor("IN", "BYTES", (1, 2), two))).inputs == (two,)
    assert refusal(STRINGS, request(InputTensor("IN", "BYTES", (2, 2), two))) == (
        UNKNOWN_ID + "expected 4 string elements for inference input 'IN' for model 'words', got 2"
    )


def shapes() -> st.SearchStrategy[tuple[int, ...]]:
    sizes = st.sampled_from([-2, -1, 0, 1, 2, 8, 9, 16, 2**40])
    odd = st.lists(sizes, max_size=3).map(tuple)
    return st.one_of(st.just((1, 16)), st.just((2, 16)), st.just((16,)), odd)


tensors = st.builds(
    InputTensor,
    st.sampled_from(["INPUT0", "INPUT1", "X"]),
    st.sampled_from(["INT32", "INT32", "FP32", ""]),
    shapes(),
    st.sampled_from([64, 64, 128, 0, 3]).map(bytes),
)


@pytest.mark.parametrize("checker", [SIMPLE, UNBATCHED], ids=["batching", "plain"])
@given(st.lists(tensors, max_size=3), st.lists(st.sampled_from(["OUTPUT0", "OUTPUT1", "X"]), max_size=3))
def test_whatever_is_not_accepted_has_a_reason(
    checker: RequestChecker, inputs: list[InputTensor], outputs: list[str]
) -> None:
    try:
        checked = checker.check(InferRequest(inputs, tuple(outputs)))
    except ServerError:
        return
    assert sorted(t.name for t in inputs) == list(INPUTS)
    assert all(len(data) == 64 * checked.rows for data in checked.inputs)
    assert len({t.shape for t in inputs}) == 1
    assert not outputs or [t.name for t in checked.selection.layout.tensors] == outputs


OPEN = RequestChecker(
    replace(
        served_model(
            "open",
            [TensorSpec("X", "float32", (-1, 2)), TensorSpec("T", "object", (-1,))],
            [TensorSpec("Y", "float32", (-1,)), TensorSpec("Z", "float32", (2,))],
        ),
        runtime="onnxruntime",
    )
)


def open_request(x: tuple[int, ...], texts: int, size: int | None = None) -> InferRequest:
    return request(
        InputTensor("X", "FP32", x, bytes(4 * prod(x) if size is None else size)),
        InputTensor("T", "BYTES", (x[0], texts), bytes(4 * texts * x[0])),
    )


@pytest.mark.parametrize(("x", "texts"), [((1, 3, 2), 1), ((2, 5, 2), 3), ((1, 0, 2), 0)])
def test_open_dimensions_are_the_requests_own(x: tuple[int, ...], texts: int) -> None:
    checked = OPEN.check(open_request(x, texts))
    assert (checked.rows, checked.shapes) == (x[0], (x, (x[0], texts)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            open_request((1, 3, 3), 1),
            "unexpected shape for input 'X' for model 'open'. Expected [-1,-1,2], got [1,3,3]. NOTE",
        ),
        (
            open_request((1, 3, 2), 1, size=20),
            "input byte size mismatch for input 'X' for model 'open'. Expected 24, got 20",
        ),
        (
            open_request((1, -1, 2), 1, size=0),
            "All input dimensions should be specified for input 'X' for model 'open', got [1,-1,2]",
        ),
    ],
)
def test_open_dimensions_are_checked_all_the_same(asked: InferRequest, expected: str) -> None:
    assert refusal(OPEN, asked).startswith(UNKNOWN_ID + expected)


def test_no_dimension_is_beyond_measure() -> None:
    for dim in (1 << 31, 1 << 64):
        asked = request(
            InputTensor("X", "FP32", (1, 0, 2), b""), InputTensor("T", "BYTES", (1, dim), bytes(4))
        )
        assert "unexpected shape for input 'T'" in refusal(OPEN, asked)


def test_a_layout_takes_the_shapes_that_came_out() -> None:
    selection = OPEN.check(open_request((2, 1, 2), 1)).selection
    layout = fill_layout(selection, [(2, 7), (2, 2)])
    assert [tensor.shape for tensor in layout.tensors] == [(2, 7), (2, 2)]
    with pytest.raises(ExecutionError, match=r"output 'Z' of model 'open' has shape \[2,3\]"):
        fill_layout(selection, [(2, 7), (2, 3)])
