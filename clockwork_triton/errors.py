"""The one error type that reaches clients."""

from __future__ import annotations

from enum import Enum


class Code(Enum):
    """Triton's internal codes; each protocol adapter maps them to its own."""

    INVALID_ARG = "INVALID_ARG"
    NOT_FOUND = "NOT_FOUND"
    UNAVAILABLE = "UNAVAILABLE"
    UNSUPPORTED = "UNSUPPORTED"
    INTERNAL = "INTERNAL"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"


TIMEOUT_EXPIRED = "Request timeout expired"
"""The message, with UNAVAILABLE, of a request that is refused because it cannot make its deadline."""

QUEUE_FULL = "Exceeds maximum queue size"
"""The message, with UNAVAILABLE, behind the request's id, where as many wait as the model's policy allows."""


class ServerError(Exception):
    """A failure with a code and a message in the words a Triton client expects.

    What of the message is not UTF-8, as a quoted file name may be, is escaped: no protocol could carry it.
    """

    def __init__(self, code: Code, message: str) -> None:
        message = printable(message)
        super().__init__(message)
        self.code = code
        self.message = message


class ExecutionError(ServerError):
    """A request that was in order and failed all the same: refused for its deadline, or by the device."""


class NotHere(ServerError):
    """A model that this process does not know, though another of the server's may."""


def printable(text: str) -> str:
    """The text with bytes that are not UTF-8, which file names may have, written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
