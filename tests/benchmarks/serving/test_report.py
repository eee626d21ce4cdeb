from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from benchmarks.serving.report import Report, shown


def report(folder: Path) -> Report:
    made = Report("pace", "Pace")
    made.table("Speed", "model", "ms", "requests").add("digits", 0.51234, 12345)
    made.claim("It is fast", True, "0.5 ms")
    made.notes.append("On one core.")
    made.pictures.append(folder / "serving" / "pace.png")
    return made


def test_holds_only_if_something_was_claimed_and_all_of_it_holds(tmp_path: Path) -> None:
    assert not Report("empty", "Empty").holds
    made = report(tmp_path)
    assert made.holds
    made.claim("It is small", False)
    assert not made.holds


def test_console(tmp_path: Path) -> None:
    output = io.StringIO()
    report(tmp_path).show(Console(file=output, width=100))
    text = output.getvalue()
    assert "holds  It is fast (0.5 ms)" in text
    assert "12,345" in text


def test_markdown(tmp_path: Path) -> None:
    lines = report(tmp_path).markdown(tmp_path).splitlines()
    assert "- It is fast: holds (0.5 ms)." in lines
    assert "| digits | 0.512 | 12,345 |" in lines
    assert "![Pace](serving/pace.png)" in lines


def test_document_keeps_the_figures_as_they_are(tmp_path: Path) -> None:
    document = report(tmp_path).document()
    assert document["tables"][0]["rows"] == [{"model": "digits", "ms": 0.51234, "requests": 12345}]
    assert document["claims"] == [{"text": "It is fast", "holds": True, "detail": "0.5 ms"}]


def test_numbers_are_shown_with_three_figures() -> None:
    assert [shown(n) for n in (0.0, 0.00012, 0.1234, 99.96, 1234.5, 12345, "x")] == [
        *("0", "1.2e-04", "0.123", "100", "1,234", "12,345", "x"),
    ]
