from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.telemetry.logs import Log, LogSettings

log = logging.getLogger("clockwork_triton.test")


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Log]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:
        root.removeHandler(handler)
    made = Log(LogSettings(file=str(tmp_path / "log")))
    made.install()
    yield made
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)


def lines(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


def write_one_of_each() -> None:
    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")


def test_the_default_line_is_tritons(installed: Log, tmp_path: Path) -> None:
    write_one_of_each()
    found = lines(tmp_path)
    assert [line[-2] for line in found] == ["i", "w", "e"]
    for line, letter in zip(found, "IWE", strict=True):
        assert re.fullmatch(rf'{letter}\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} \d+ test_logs\.py:\d+\] "."', line)


def test_the_iso_line_is_tritons(installed: Log, tmp_path: Path) -> None:
    installed.update({"style": "ISO8601"})
    log.warning("w")
    (line,) = lines(tmp_path)
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ W \d+ test_logs\.py:\d+\] "w"', line)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"verbose": 1}, "diwe"),
        ({"info": False}, "we"),
        ({"warning": False}, "ie"),
        ({"error": False, "verbose": 3}, "diw"),
        ({"info": False, "warning": False, "error": False}, ""),
    ],
)
def test_kinds_of_lines_are_switched_one_by_one(
    installed: Log, tmp_path: Path, changes: dict[str, object], shown: str
) -> None:
    installed.update(changes)
    write_one_of_each()
    assert "".join(line[-2] for line in lines(tmp_path)) == shown


def test_errors_bring_their_traceback(installed: Log, tmp_path: Path) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("failed")
    assert "ValueError: x" in (tmp_path / "log").read_text()


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Log(LogSettings(file=str(tmp_path / "no" / "log")))
