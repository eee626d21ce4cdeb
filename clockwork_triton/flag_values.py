"""How the values of flags are written."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

MODES = ("none", "poll", "explicit")

_TRUE = {"true", "1", "on", "yes"}
_FALSE = {"false", "0", "off", "no"}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def boolean(text: str) -> bool:
    """As Triton reads it: true, 1 and on, or false, 0 and off, in any case."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return word in _TRUE


def byte_size(text: str) -> int:
    """A positive number of bytes, with K, M, G or T (powers of 1,024) behind it or not."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 512M or 2G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def device_list(text: str) -> tuple[str, ...]:
    """Devices with commas between them, such as cpu:0,cpu:1. The same device twice is an error."""
    devices = tuple(word.strip() for word in text.split(","))
    for device in devices:
        if not re.fullmatch(r"[a-z]+(:[\w.=/-]+)?", device):
            raise argparse.ArgumentTypeError(f"'{device}' is not a device such as cpu:0")
    if len(set(devices)) < len(devices):
        raise argparse.ArgumentTypeError(f"'{text}' names a device twice")
    return devices


def positive_ms(text: str) -> float | None:
    """Milliseconds; 0 means none."""
    return _number(text, "a number of milliseconds") or None


def seconds(text: str) -> float:
    """Seconds, zero or more."""
    return _number(text, "a number of seconds")


def positive(text: str) -> float:
    """A number of seconds above zero."""
    value = _number(text, "a number above 0")
    if not value:
        raise argparse.ArgumentTypeError(f"'{text}' is not above 0")
    return value


def count(text: str) -> int:
    """A whole number above zero."""
    return _whole(text, 1, 1 << 20)


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    return _whole(text, 0, 65535)


def control_mode(text: str) -> str:
    if text not in MODES:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(MODES)}")
    return text


@dataclass(frozen=True)
class BackendSetting:
    """`--backend-config [BACKEND,]KEY=VALUE`; `backend` "" means all of them."""

    backend: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.backend}{',' if self.backend else ''}{self.key}={self.value}"


def backend_setting(text: str) -> BackendSetting:
    backend, comma, setting = text.rpartition(",")
    key, equals, value = setting.partition("=")
    if not key or not equals or (comma and not backend):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form backend,key=value")
    return BackendSetting(backend, key, value)


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
    return value


def _whole(text: str, least: int, most: int) -> int:
    if not re.fullmatch(r"\d+", text, re.ASCII) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
    return int(text)
