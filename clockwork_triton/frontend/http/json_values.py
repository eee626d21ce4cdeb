"""Reading JSON with Triton's errors: of a wrong type or a missing member it says so, and answers 500."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

from clockwork_triton.errors import Code, ServerError

# Python's words for what is wrong with a document -> RapidJSON's, which clients of Triton see.
_PARSE_ERRORS = (
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma", "Invalid value."),
    ("Expecting ':'", "Missing a colon after a name of object member."),
    ("Expecting ','", "Missing a comma or } after an object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Extra data", "The document root must not be followed by other values."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid control character", "Invalid encoding in string."),
)
_EXPLAINED_BYTES = 1 << 16
"""Longer documents that are wrong are not read a second time to find the words for it."""


def parse(data: bytes | memoryview) -> Any:
    """The document; NaN and Infinity are numbers, as Triton has it. ServerError if it is none."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        text = bytes(data)
        if b"NaN" in text or b"Infinity" in text or len(text) < _EXPLAINED_BYTES:
            return _parse_slowly(text)
        _parse_failed("Invalid value.", error.pos)


def _parse_slowly(text: bytes) -> Any:
    if not text.strip():
        _parse_failed("The document is empty.", 0)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        words = next((ours for theirs, ours in _PARSE_ERRORS if error.msg.startswith(theirs)), None)
        _parse_failed(words or "Invalid value.", error.pos)
    except UnicodeDecodeError as error:
        _parse_failed("Invalid encoding in string.", error.start)
    except (RecursionError, ValueError):
        _parse_failed("Invalid value.", 0)


def _parse_failed(what: str, position: int) -> NoReturn:
    fail(f"failed to parse the request JSON buffer: {what} at {position}")


def fail(message: str, prefix: str = "") -> NoReturn:
    """`prefix` says what could not be read, as in "Unable to parse 'shape'"."""
    raise ServerError(Code.INTERNAL, f"{prefix}: {message}" if prefix else message)


def member(value: Any, name: str, prefix: str = "") -> Any:
    if not isinstance(value, dict) or name not in value:
        fail(f"attempt to access non-existing object member '{name}'", prefix)
    return value[name]


def find(value: Any, name: str) -> Any:
    """The member, None where there is none."""
    return value.get(name) if isinstance(value, dict) else None


def as_object(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        fail("attempt to access JSON non-object as object", prefix)
    return value


def as_array(value: Any, prefix: str = "") -> list[Any]:
    if not isinstance(value, list):
        fail("attempt to access JSON non-array as array", prefix)
    return value


def as_string(value: Any, prefix: str = "") -> str:
    if not isinstance(value, str):
        fail("attempt to access JSON non-string as string", prefix)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        fail("attempt to access a string with half a surrogate pair", prefix)
    return value


def as_bool(value: Any, prefix: str = "") -> bool:
    if not isinstance(value, bool):
        fail("attempt to access JSON non-boolean as boolean", prefix)
    return value


def as_uint(value: Any, prefix: str = "") -> int:
    """What fits in 64 bits."""
    if type(value) is not int or not 0 <= value < 1 << 64:
        fail("attempt to access JSON non-unsigned-integer as unsigned-integer", prefix)
    return value
