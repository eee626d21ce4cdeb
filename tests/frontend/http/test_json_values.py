from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http import json_values
from clockwork_triton.frontend.http.json_values import parse


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ServerError) as caught:
        call(*arguments)
    assert caught.value.code is Code.INTERNAL
    return caught.value.message


def test_numbers_that_json_lacks_are_read() -> None:
    values = parse(b'[NaN, Infinity, -Infinity, 1e999, "NaN"]')
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, math.inf, "NaN"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "The document is empty. at 0"),
        (b"{bad", "Missing a name for object member. at 1"),
        (b'{"inp', "Missing a closing quotation mark in string. at 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at 5"),
        (b"[1] 2", "The document root must not be followed by other values. at 4"),
        (b"[tru]", "Invalid value. at 1"),
        (b'["\xff"]', "Invalid encoding in string. at 2"),
        (b"[" * 100_000, "Invalid value. at 1024"),
        (b"[" * 10_000, "Invalid value. at 0"),
        (b"1" * 70_000 + b"x", "Invalid value. at 70000"),
    ],
)
def test_what_is_no_json_is_said_in_rapidjsons_words(text: bytes, what: str) -> None:
    message = refusal(parse, text)
    assert message.startswith("failed to parse the request JSON buffer: ")
    if not text.startswith((b"[[", b"11")):
        assert message.endswith(what)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_refused(data: bytes) -> None:
    with contextlib.suppress(ServerError):
        json.dumps(parse(data))


@pytest.mark.parametrize(
    ("read", "wrong", "word"),
    [
        ("as_object", [], "object"),
        ("as_array", {}, "array"),
        ("as_string", 1, "string"),
        ("as_bool", 1, "boolean"),
        ("as_uint", -1, "unsigned-integer"),
        ("as_uint", 1.0, "unsigned-integer"),
        ("as_uint", True, "unsigned-integer"),
        ("as_uint", 1 << 64, "unsigned-integer"),
    ],
)
def test_types_are_named(read: str, wrong: Any, word: str) -> None:
    message = f"attempt to access JSON non-{word} as {word}"
    assert refusal(getattr(json_values, read), wrong) == message
    assert (
        refusal(getattr(json_values, read), wrong, "Unable to parse 'x'") == f"Unable to parse 'x': {message}"
    )


def test_members() -> None:
    assert json_values.member({"a": 1}, "a") == 1
    for value in ({}, [], None):
        assert refusal(json_values.member, value, "a") == "attempt to access non-existing object member 'a'"
        assert json_values.find(value, "a") is None


def test_text_that_could_not_be_written_back_is_refused() -> None:
    assert "surrogate" in refusal(json_values.as_string, "a\ud800")
