"""What the system tells in files."""

from __future__ import annotations

from pathlib import Path


def read(path: Path) -> str:
    """Empty where the system has no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""


def value_of(text: str, name: str) -> str:
    """What comes first after "name:" on a line of its own; empty where there is none."""
    lines = (line.split() for line in text.splitlines())
    return next((words[1] for words in lines if words[:1] == [f"{name}:"] and len(words) > 1), "")


def chosen(text: str) -> str:
    """The word in brackets: "always [madvise] never"."""
    return text.partition("[")[2].partition("]")[0]
