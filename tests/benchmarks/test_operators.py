"""The page of operators says what the converter does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.operators.page import COLUMNS, PAGE, page
from benchmarks.operators.suite import cases
from benchmarks.operators.trial import Trial, attempt


@pytest.mark.parametrize(
    ("name", "outcome", "message"),
    [
        ("test_relu", "passed", ""),
        ("test_reshape_reduced_dims", "constant", ""),
        ("test_nonzero_example", "refused", "the shape of its output depends on the values of its input"),
        ("test_string_concat", "refused", "strings"),
    ],
)
def test_cases_are_tried(name: str, outcome: str, message: str) -> None:
    trial = attempt(cases()[name])
    assert trial.outcome == outcome
    assert message in trial.message


def test_wrong_results_are_seen() -> None:
    case = cases()["test_relu"]
    inputs, expected = case.data[0]
    other = replace(case, data=[(inputs, [np.asarray(expected[0]) + 1])])
    assert attempt(other).outcome == "wrong"


def test_composed_operators_count_as_what_they_compose() -> None:
    assert cases()["test_gelu_default_1_expanded"].operator == "Gelu"
    assert cases()["test_adam"].operator == "ai.onnx.preview.training.Adam"


def test_the_page_counts() -> None:
    some = {name: cases()[name] for name in ("test_relu", "test_add", "test_add_bcast")}
    trials = [
        Trial("test_relu", "refused", "a | b"),
        Trial("test_add", "passed"),
        Trial("test_add_bcast", "wrong", "c"),
    ]
    text = page(some, trials)
    assert "| Add | 2 | 1 | 0 | 0 | 1 | c |" in text
    assert "| Relu | 1 | 0 | 0 | 1 | 0 | a \\| b |" in text
    assert "Of 2 operators, 1 can be converted" in text


def test_the_page_is_current() -> None:
    """In form: it has every operator and test of the installed suite, and nothing is wrong."""
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    header, *rows = ([cell.strip("| ") for cell in line] for line in lines)
    assert tuple(header) == COLUMNS
    assert {row[0]: int(row[1]) for row in rows} == Counter(case.operator for case in cases().values())
    for operator, count, passed, constant, refused, wrong, *message in rows:
        assert int(count) == int(passed) + int(constant) + int(refused) + int(wrong)
        assert int(wrong) == 0, operator
        assert bool(int(refused)) == bool(message[0]), operator
