"""An HTTP request that has arrived whole, and the response to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Header names in lower case. `arrival_ns`: when its last byte was here, on the data plane's clock;
    `begin_ns`: its first."""

    method: str
    headers: Mapping[str, str]
    body: bytes
    begin_ns: int
    arrival_ns: int


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """`parts` joined are the body."""

    status: int = 200
    parts: Sequence[bytes] = ()
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(document: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, (orjson.dumps(document),))


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    # A lone surrogate can come out of a request's JSON, but cannot be written.
    text = message.encode(errors="replace").decode()
    return HttpResponse(status, (orjson.dumps({"error": text}),), headers=headers or {})
