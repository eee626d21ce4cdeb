"""Says what of Triton's surface a test covers; docs/compatibility.md is made of it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
VERDICTS = ("supported", "different", "refused")


def covers(feature: str, verdict: str = "supported", note: str = "") -> Callable[[Test], Test]:
    """Marks a test. `feature`: `RPC Name`, `route METHOD /path`, or what people call it. Literals only: the
    page is made without running anything."""
    assert feature
    assert verdict in VERDICTS

    def mark(test: Test) -> Test:
        return test

    return mark


class Coverage(NamedTuple):
    feature: str
    verdict: str
    note: str
    test: str


def coverage() -> Iterator[Coverage]:
    """Every mark in the tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "covers":
                        given = [ast.literal_eval(argument) for argument in decorator.args]
                        given += ["supported", ""][len(given) - 1 :]
                        yield Coverage(*given, f"{path.relative_to(ROOT)}::{node.name}")


def compatibility_page() -> str:
    """The page, in Markdown."""
    features: dict[str, list[Coverage]] = {}
    for each in coverage():
        features.setdefault(each.feature, []).append(each)
    lines = ["# Triton's surface, as tests hold it", ""]
    lines.append(
        "Every line is the claim of the tests it names; `scripts/generate-compatibility` makes this page of "
        "them. What a running Triton answers to the same requests stands in "
        "[results/compatibility.md](results/compatibility.md)."
    )
    for title, prefix in (("gRPC", "RPC "), ("HTTP/REST", "route "), ("Everything else", "")):
        chosen = sorted(
            name
            for name in features
            if (name.startswith(prefix) if prefix else not name.startswith(("RPC ", "route ")))
        )
        lines += ["", f"## {title}", "", "| | here | tests |", "|---|---|---|"]
        lines += [_line(name.removeprefix(prefix), features[name]) for name in chosen]
    return "\n".join(lines) + "\n"


def _line(name: str, found: list[Coverage]) -> str:
    verdict = max((each.verdict for each in found), key=VERDICTS.index)
    notes = dict.fromkeys(each.note for each in found if each.note)
    shown = verdict if not notes else f"{verdict}: {'; '.join(notes)}"
    tests = ", ".join(dict.fromkeys(f"`{each.test.removeprefix('tests/')}`" for each in found))
    return f"| {name} | {shown} | {tests} |"
