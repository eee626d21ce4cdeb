from __future__ import annotations

from typing import Any

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.parameters import RequestParameters, read_parameters
from clockwork_triton.frontend.sequences import SequenceTag
from tests.frontend.messages import infer_request, parameter


def read(**parameters: Any) -> RequestParameters:
    return read_parameters(infer_request(parameters=parameters).parameters)


def test_known_ones_get_their_meaning_and_the_rest_is_custom() -> None:
    assert read(
        timeout=parameter(int64_param=1500),
        priority=parameter(uint64_param=3),
        sequence_id=parameter(string_param="s"),
        sequence_start=parameter(bool_param=True),
        sequence_end=parameter(bool_param=True),
        triton_enable_empty_final_response=parameter(bool_param=True),
        a=parameter(int64_param=-1),
        b=parameter(bool_param=False),
        c=parameter(string_param="x"),
        d=parameter(double_param=0.5),
    ) == RequestParameters(1500, 3, {"a": -1, "b": False, "c": "x", "d": 0.5}, SequenceTag("s", True, True))


def test_priority_may_be_signed_and_sequence_ids_numbers() -> None:
    assert read(priority=parameter(int64_param=1), sequence_id=parameter(int64_param=5)) == RequestParameters(
        0, 1, {}, SequenceTag(5)
    )


RESERVED = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting "
    "with 'triton_' are allowed: triton_enable_empty_final_response"
)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"sequence_id": parameter(bool_param=True)},
            "invalid value type for 'sequence_id' parameter, expected int64_param or string_param.",
        ),
        (
            {"sequence_start": parameter(int64_param=1)},
            "invalid value type for 'sequence_start' parameter, expected bool_param.",
        ),
        (
            {"sequence_end": parameter(string_param="true")},
            "invalid value type for 'sequence_end' parameter, expected bool_param.",
        ),
        (
            {"priority": parameter(string_param="1")},
            "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
        ),
        ({"priority": parameter(int64_param=-1)}, "invalid value for 'priority', expected value >= 0."),
        (
            {"timeout": parameter(uint64_param=1)},
            "invalid value type for 'timeout' parameter, expected int64_param.",
        ),
        (
            {"triton_enable_empty_final_response": parameter(int64_param=1)},
            "invalid value type for 'triton_enable_empty_final_response' parameter, expected bool_param.",
        ),
        ({"triton_other": parameter(bool_param=True)}, RESERVED),
        (
            {"mine": parameter(uint64_param=1)},
            "invalid value type for 'mine' parameter, expected int64_param, bool_param, string_param, or "
            "double_param.",
        ),
        (
            {"timeout": parameter()},
            "invalid value type for 'timeout' parameter, expected int64_param.",
        ),
    ],
)
def test_refusals_in_tritons_words(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ServerError) as caught:
        read(**parameters)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARG, message)
