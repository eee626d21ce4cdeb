from __future__ import annotations

import io
import logging
import re

import pytest

from clockwork_triton.console import ModelRow, TritonFormatter, show_models


def test_log_lines_have_tritons_form() -> None:
    record = logging.LogRecord("x", logging.WARNING, "/a/model.py", 41, "it is %s", ("late",), None)
    line = TritonFormatter().format(record)
    assert re.fullmatch(r'W\d{4} \d\d:\d\d:\d\d\.\d{6} \d+ model\.py:41\] "it is late"', line)


def test_an_exception_is_part_of_the_line() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TritonFormatter())
    log = logging.getLogger("tests.console")
    log.addHandler(handler)
    log.propagate = False
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("it failed")
    finally:
        log.removeHandler(handler)
    assert "ValueError: odd" in stream.getvalue()


def test_the_table_shows_predictions_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    show_models(
        [
            ModelRow("good", "1", "READY", "", {1: 3.21, 8: 20.0}, 0.5, 3 << 20),
            ModelRow("bad", "2", "UNAVAILABLE", "it is broken"),
        ]
    )
    shown = capsys.readouterr().err
    assert "1: 3.21  8: 20" in shown
    assert "3.0" in shown
    assert "UNAVAILABLE: it is broken" in shown
