"""docs/operators.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path

from benchmarks.operators.suite import Case
from benchmarks.operators.trial import Trial

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
COLUMNS = ("operator", "tests", "pass", "pass with constants", "refused", "wrong", "a refusal says")
LONGEST = 160


def page(cases: Mapping[str, Case], trials: Iterable[Trial]) -> str:
    """Markdown: a line an operator."""
    by_operator: dict[str, list[Trial]] = {}
    for trial in trials:
        by_operator.setdefault(cases[trial.case].operator, []).append(trial)
    every = [trial for group in by_operator.values() for trial in group]
    convertible = sum(sum(_counts(group)[:2]) > 0 for group in by_operator.values())
    passed, constant, refused, wrong = _counts(every)
    lines = [
        "# Operators",
        "",
        f"Written by `scripts/generate-operators`, which puts the {len(every):,} node tests of onnx"
        f" {version('onnx')} through the converter and runs what comes out on the tests' own data.",
        "",
        f"{passed:,} pass. {constant:,} pass once their integer inputs are constants of the model, as the"
        " shapes, axes and counts are that operators take as inputs in exported networks: a kernel is"
        f" compiled for fixed shapes. {refused:,} are refused when the model is loaded, with the message"
        f" that the last column quotes from one of them. {wrong:,} are converted and compute something"
        " else.",
        "",
        f"Of {len(by_operator)} operators, {convertible} can be converted. Tests of types"
        " that kernels do not compute with (strings, sequences, 4-bit and 8-bit floats) count like the"
        " others.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|" + "---|" * len(COLUMNS),
    ]
    for operator, group in sorted(by_operator.items(), key=lambda item: item[0].lower()):
        figures = " | ".join(str(count) for count in (len(group), *_counts(group)))
        lines.append(f"| {operator} | {figures} | {_quoted(group)} |")
    return "\n".join(lines) + "\n"


def _counts(trials: Iterable[Trial]) -> tuple[int, int, int, int]:
    outcomes = [trial.outcome for trial in trials]
    passed, constant, refused, wrong = map(outcomes.count, ("passed", "constant", "refused", "wrong"))
    return passed, constant, refused, wrong


def _quoted(trials: Iterable[Trial]) -> str:
    """The most frequent message, or what is wrong."""
    messages = [trial.message for trial in trials if trial.outcome == "wrong"]
    messages = messages or [trial.message for trial in trials if trial.outcome == "refused"]
    if not messages:
        return ""
    message = max(messages, key=messages.count).replace("|", "\\|")
    return message if len(message) <= LONGEST else message[: LONGEST - 3] + "..."
