"""What is traced and where it goes: Triton's trace settings, their text forms, and their layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from clockwork_triton.errors import Code, ServerError

LEVELS = ("TIMESTAMPS", "TENSORS")

_INT32 = 1 << 31


@dataclass(frozen=True)
class TraceSettings:
    """`level` empty: nothing is traced. One of `rate` requests is, `count` of them in all (-1: no limit).

    With `log_frequency` above 0 each so many traces go to a file of their own, `file` with a number appended.
    """

    level: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0
    file: str = ""

    def check(self) -> None:
        """ServerError INVALID_ARG where something is to be traced that cannot be."""
        problem = ""
        if self.level and self.rate == 0:
            problem = "sample rate must be non-zero"
        elif self.level and not self.file:
            problem = "trace file name is not given"
        if problem:
            _fail(f"Attempting to set invalid trace setting :{problem}")


def from_options(options: Sequence[tuple[str, str]]) -> TraceSettings:
    """From (name, value) pairs of the command line; `level` may be given more than once. ServerError."""
    texts: dict[str, list[str]] = {}
    for name, value in options:
        texts.setdefault(name, []).append(value)
    names = {"level": "trace_level", "rate": "trace_rate", "count": "trace_count"}
    names["log-frequency"] = "log_frequency"
    changes = parse_changes(
        {
            names[name]: values if name == "level" else values[-1:]
            for name, values in texts.items()
            if name in names
        }
    )
    settings = replace(apply(TraceSettings(), changes), file=texts.get("file", [""])[-1])
    settings.check()
    return settings


Changes = Mapping[str, object]
"""New values by the names of the fields of TraceSettings; None: no longer set on this layer."""


def parse_changes(settings: Mapping[str, Sequence[str] | None]) -> Changes:
    """From the protocol's settings; an empty or missing list clears. Unknown names are passed over, as Triton
    does. ServerError in Triton's words."""
    if "trace_file" in settings:
        raise ServerError(Code.UNSUPPORTED, "trace file location can not be updated through network protocol")
    changes: dict[str, object] = {}
    if "trace_level" in settings:
        levels = settings["trace_level"]
        if not levels:
            changes["level"] = None
        elif (level := _level(levels)) is not None:
            changes["level"] = level
    for name, field in (("trace_rate", "rate"), ("trace_count", "count"), ("log_frequency", "log_frequency")):
        if name in settings:
            values = settings[name]
            if values and len(values) > 1:
                _fail(f"expect only 1 value for '{name}'")
            changes[field] = _number(name, values[0]) if values else None
    return changes


def apply(settings: TraceSettings, changes: Changes) -> TraceSettings:
    """`changes` laid over `settings`."""
    set_here = {field: value for field, value in changes.items() if value is not None}
    return replace(settings, **set_here)  # type: ignore[arg-type]


def _level(levels: Sequence[str]) -> tuple[str, ...] | None:
    """None where no level is known."""
    if "OFF" in levels:
        if len(levels) > 1:
            _fail("Expect only one trace level 'OFF' is specified")
        return ()
    known = tuple(level for level in LEVELS if level in levels)
    return known or None


def _number(name: str, text: str) -> int:
    """Reads as C's stoi does: a number, and whatever follows it."""
    match = re.match(r"\s*([+-]?\d+)", text, re.ASCII)
    if not match:
        _fail(f"Unable to parse '{name}', got: {text}")
    lowest, highest = (-1, _INT32 - 1) if name == "trace_count" else (0, 2 * _INT32 - 1)
    value = int(match[1])
    if not -_INT32 <= value < _INT32 or (value < 0 and name != "trace_count"):
        _fail(f"Unable to parse '{name}', value is out of range [ {lowest}, {highest} ], got: {text}")
    if value < lowest:
        _fail(f"Unable to parse '{name}'. Expecting value >= {lowest}, got: {text}")
    return value


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
