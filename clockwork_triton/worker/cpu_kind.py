"""The name by which profiles of this CPU are kept."""

from __future__ import annotations

import platform
import re
from pathlib import Path

# x86 tells its model by name and number; ARM by part numbers alone. The numbers matter because virtual
# machines shorten the name: "AMD EPYC" is four generations.
_FIELDS = (
    ("model name", ""),
    ("cpu family", "f"),
    ("model", "m"),
    ("CPU implementer", "i"),
    ("CPU part", "p"),
)


def cpu_kind(threads: int = 1, cpuinfo: str | None = None, machine: str | None = None) -> str:
    """Such as "cpu-amd-epyc-9654-f25-m17-1t": lower case letters, digits and dashes.

    `cpuinfo` is the text of /proc/cpuinfo, read if None; `machine` the architecture, asked for if None.
    """
    if cpuinfo is None:
        path = Path("/proc/cpuinfo")
        cpuinfo = path.read_text() if path.exists() else ""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    parts = [prefix + _slug(fields[key]) for key, prefix in _FIELDS if fields.get(key)]
    if not parts:
        parts = [_slug(machine or platform.machine())]
    return "-".join(["cpu", *parts, f"{threads}t"])


def _slug(text: str) -> str:
    """Letters, digits and dashes, without what all models of a maker share."""
    text = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*|\d+-core\b", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-") or "unknown"
