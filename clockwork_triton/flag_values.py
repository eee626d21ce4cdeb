"""How the values of flags are written."""

from __future__ import annotations

import argparse
import re

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
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of milliseconds")
    return value or None
