from __future__ import annotations

from struct import pack

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import serialize_byte_tensor

from clockwork_triton.frontend.strings import strings_fault


@given(st.lists(st.binary(max_size=20), min_size=1))
def test_what_the_client_serialises_is_in_order(elements: list[bytes]) -> None:
    data = serialize_byte_tensor(np.array(elements, dtype=object)).item()
    assert strings_fault(data, len(elements)) == ""
    assert strings_fault(memoryview(data), len(elements)) == ""


@pytest.mark.parametrize(
    ("data", "elements", "fault"),
    [
        (b"", 2, "expected 2 string elements for X, got 0"),
        (pack("<I", 1) + b"a", 2, "expected 2 string elements for X, got 1"),
        (
            pack("<I", 1) + b"a" + pack("<I", 0),
            1,
            "unexpected number of string elements 2 for X, expecting 1",
        ),
        (
            pack("<I", 9) + b"abc",
            1,
            "incomplete string data for X, expecting string of length 9 but only 3 bytes available",
        ),
        (
            pack("<I", 1) + b"a" + b"\0\0",
            2,
            "incomplete string length indicator for X, expecting 4 bytes but only 2 bytes available",
        ),
    ],
)
def test_faults_in_tritons_words(data: bytes, elements: int, fault: str) -> None:
    assert strings_fault(data, elements).format("X") == fault
