"""What a request's header fields ask for (RFC 9113, 8.3; gRPC over HTTP/2, "Requests").

Heads are shared by all requests whose header blocks are the same bytes, so they hold nothing of one call.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clockwork_triton.frontend.http2.errors import ErrorCode, StreamFault
from clockwork_triton.frontend.http2.status import Status

if TYPE_CHECKING:
    from clockwork_triton.frontend.http2.service import Route

Field = tuple[bytes, bytes]

ENCODINGS = frozenset((b"identity", b"gzip", b"deflate"))
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_A_CONNECTION = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE_FORBIDS = re.compile(rb"[\x00\r\n]")
_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_NS = {b"H": 3600 * 10**9, b"M": 60 * 10**9, b"S": 10**9, b"m": 10**6, b"u": 10**3, b"n": 1}
_RESERVED = frozenset((b"te", b"content-type", b"content-length", b"user-agent"))


@dataclass(frozen=True)
class Refusal:
    """Why a request is answered without being read. `http_status` other than 200: not gRPC at all."""

    status: Status
    message: str
    http_status: int = 200


@dataclass(frozen=True)
class RequestHead:
    """`encoding`: of the request's compressed messages; `accepts`: the encodings the client takes."""

    route: Route | None
    refusal: Refusal | None
    path: bytes
    authority: bytes
    timeout_ns: int | None
    encoding: bytes
    accepts: frozenset[bytes]
    content_length: int | None
    fields: tuple[Field, ...]

    def metadata(self) -> list[tuple[str, str | bytes]]:
        """The client's own metadata: values of names that end in -bin are bytes."""
        return [
            _metadatum(name, value)
            for name, value in self.fields
            if not name.startswith(b"grpc-") and name not in _RESERVED
        ]


def parse_head(fields: Sequence[Field], routes: Mapping[bytes, Route], limit: int) -> RequestHead:
    """Raises StreamFault PROTOCOL_ERROR if the request is malformed as HTTP/2."""
    pseudo, regular = _split(fields)
    values = dict(regular)
    method = pseudo.get(b":method", b"")
    path = pseudo.get(b":path", b"")
    if not method or not path or b":scheme" not in pseudo:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a request needs a method, a scheme and a path")
    timeout_ns, bad_timeout = _timeout(values.get(b"grpc-timeout"))
    encoding = values.get(b"grpc-encoding", b"identity")
    route = routes.get(path)
    refusal: Refusal | None = None
    if method != b"POST":
        refusal = Refusal(Status.INTERNAL, "gRPC wants POST", 405)
    elif not _is_grpc(values.get(b"content-type", b"")):
        refusal = Refusal(Status.INTERNAL, "the content type is not application/grpc", 415)
    elif sum(len(name) + len(value) + 32 for name, value in fields) > limit:
        refusal = Refusal(Status.RESOURCE_EXHAUSTED, f"the metadata exceeds {limit} bytes")
    elif route is None:
        refusal = Refusal(Status.UNIMPLEMENTED, f"unknown method {path.decode('latin-1')}")
    elif encoding not in ENCODINGS:
        name = encoding.decode("latin-1")
        refusal = Refusal(Status.UNIMPLEMENTED, f"grpc-encoding {name!r} is not supported")
    elif bad_timeout:
        refusal = Refusal(Status.INTERNAL, "grpc-timeout is malformed")
    accepts = values.get(b"grpc-accept-encoding", b"identity").split(b",")
    return RequestHead(
        route=route,
        refusal=refusal,
        path=path,
        authority=pseudo.get(b":authority", b""),
        timeout_ns=timeout_ns,
        encoding=encoding,
        accepts=frozenset(name.strip() for name in accepts) & ENCODINGS,
        content_length=_content_length(values.get(b"content-length")),
        fields=tuple(regular),
    )


def check_fields(fields: Sequence[Field]) -> None:
    """Raises StreamFault PROTOCOL_ERROR unless `fields` may be a request's trailers."""
    pseudo, _ = _split(fields)
    if pseudo:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "trailers hold no pseudo-header fields")


def _split(fields: Sequence[Field]) -> tuple[dict[bytes, bytes], list[Field]]:
    pseudo: dict[bytes, bytes] = {}
    regular: list[Field] = []
    for name, value in fields:
        if not _NAME.fullmatch(name) or _VALUE_FORBIDS.search(value):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"field {name!r} is malformed")
        if name.startswith(b":"):
            if regular or name in pseudo or name not in _PSEUDO:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"pseudo-header field {name!r} is out of place")
            pseudo[name] = value
            continue
        if name in _OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"field {name!r} has no place in HTTP/2")
        # RFC 9113 calls spaces around a value malformed; grpc-core bears them, and so do its users' tokens.
        regular.append((name, value.strip(b" \t")))
    return pseudo, regular


def _is_grpc(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in (b"application/grpc", b"application/grpc+proto")


def _timeout(value: bytes | None) -> tuple[int | None, bool]:
    """Nanoseconds, and whether the field is malformed."""
    if value is None:
        return None, False
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        return None, True
    return int(match[1]) * _UNIT_NS[match[2]], False


def _content_length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,19}", value):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length is malformed")
    return int(value)


def _metadatum(name: bytes, value: bytes) -> tuple[str, str | bytes]:
    if not name.endswith(b"-bin"):
        return name.decode("latin-1"), value.decode("latin-1")
    # Clients may leave the padding out; what is no base64 is passed as it came.
    try:
        return name.decode("latin-1"), b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except ValueError:
        return name.decode("latin-1"), value
