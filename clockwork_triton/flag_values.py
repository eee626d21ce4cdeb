"""How the values of flags are written."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

MODES = ("none", "poll", "explicit")
GRPC_TRANSPORTS = ("grpcio", "http2")

_TRUE = {"true", "1", "on", "yes"}
_FALSE = {"false", "0", "off", "no"}
_MOST = 1 << 20
_LONGEST_S = 1e6
_SHORTEST_S = 0.01
_LARGEST_BYTES = 1 << 50
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def boolean(text: str) -> bool:
    """As Triton reads it: true, 1 and on, or false, 0 and off, in any case."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"'{text}' is neither true nor false")
    return word in _TRUE


def byte_size(text: str) -> int:
    """A number of bytes from 1 to 1024T, with K, M, G or T (powers of 1,024) behind it or not."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    size = float(match[1]) * _UNITS[match[2].upper()] if match else 0
    if not 1 <= size <= _LARGEST_BYTES:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size such as 512M or 2G")
    return int(size)


def device_list(text: str) -> tuple[str, ...]:
    """Devices with commas between them, such as cpu:0,cpu:1. The same device twice is an error."""
    devices = tuple(word.strip() for word in text.split(","))
    for device in devices:
        if not re.fullmatch(r"(cpu|cuda)(:\d{1,4})?|emulated(:[\w.=/-]+)?", device, re.ASCII):
            raise argparse.ArgumentTypeError(
                f"'{device}' is not a device: there are cpu:N, cuda:N (GPU number N) and emulated:KIND"
            )
    if len(set(devices)) < len(devices):
        raise argparse.ArgumentTypeError(f"'{text}' names a device twice")
    return devices


def front_ends(text: str) -> int:
    """How many processes, 0 to 64."""
    return int(_number(text, 0, 64, "processes"))


def poll_us(text: str) -> int:
    """Microseconds, up to 100,000."""
    return int(_number(text, 0, 100_000, "microseconds"))


def positive_ms(text: str) -> float | None:
    """Milliseconds; 0 means none."""
    return _number(text, 0, _LONGEST_S * 1000, "milliseconds") or None


def seconds(text: str) -> float:
    """Seconds, zero or more."""
    return _number(text, 0, _LONGEST_S, "seconds")


def interval(text: str) -> float:
    """Seconds between two runs of something, enough that it does not take a core for itself."""
    return _number(text, _SHORTEST_S, _LONGEST_S, "seconds")


def count(text: str) -> int:
    """A whole number above zero."""
    return whole(text, 1, _MOST)


def level(text: str) -> int:
    """A whole number, zero or more."""
    return whole(text, 0, _MOST)


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    return whole(text, 0, 65535)


def whole(text: str, least: int, most: int) -> int:
    """A whole number within these bounds, in ASCII digits."""
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
    return int(text)


def control_mode(text: str) -> str:
    if text not in MODES:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(MODES)}")
    return text


def grpc_transport(text: str) -> str:
    if text not in GRPC_TRANSPORTS:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(GRPC_TRANSPORTS)}")
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


def milliseconds(text: str) -> int:
    """A whole number that gRPC can hold."""
    return whole(text, 0, (1 << 31) - 1)


def _number(text: str, least: float, most: float, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of {unit} from {least:g} to {most:g}")
    return value
