from __future__ import annotations

import pytest

from clockwork_triton.console import ModelRow, show_models


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
