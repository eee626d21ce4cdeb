"""gRPC's status codes and how a status is written in trailers."""

from __future__ import annotations

import re
from enum import IntEnum

_ESCAPED = re.compile(rb"[^ -$&-~]")
_MESSAGE_BYTES = 4096
"""Longest grpc-message sent: clients refuse header lists of more than 8 KiB."""


class Status(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """The status that a call ends with; `details` is a serialized google.rpc.Status or nothing."""

    def __init__(self, status: Status, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details


def percent_encode(message: str) -> bytes:
    """As gRPC wants grpc-message: UTF-8, all but printable ASCII as %XX. Cut at 4 KiB, between characters
    of the encoding."""
    encoded = _ESCAPED.sub(lambda match: b"%%%02X" % match[0][0], message.encode("utf-8", "replace"))
    if len(encoded) > _MESSAGE_BYTES:
        encoded = encoded[:_MESSAGE_BYTES]
        escape = encoded.rfind(b"%", -2)
        if escape >= 0:
            encoded = encoded[:escape]
    return encoded
