"""Tries every node test and writes docs/operators.md.

    python -m benchmarks.operators [--work FILE] [--seconds N]

A case can crash the compiler, so a process of its own tries them and is replaced when it dies. What is known
is kept in FILE as it comes; the next run goes on from there. The page is written once all cases are known.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.operators.page import PAGE, page
from benchmarks.operators.suite import cases
from benchmarks.operators.trial import Trial, attempt


def main() -> int:
    options = _options()
    if options.serve:
        return _serve()
    known = _known(options.work)
    waiting = [name for name in cases() if name not in known]
    deadline = time.monotonic() + options.seconds
    while waiting and time.monotonic() < deadline:
        waiting = _attempt_some(waiting, options.work, deadline)
    if waiting:
        print(f"{len(waiting)} cases are left: run it again")
        return 0
    trials = [_known(options.work)[name] for name in cases()]
    PAGE.write_text(page(cases(), trials))
    wrong = [trial for trial in trials if trial.outcome == "wrong"]
    for trial in wrong:
        print(f"{trial.case}: {trial.message}")
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "operators.jsonl")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _known(work: Path) -> dict[str, Trial]:
    if not work.exists():
        return {}
    trials = [Trial(**json.loads(line)) for line in work.read_text().splitlines()]
    return {trial.case: trial for trial in trials}


def _attempt_some(names: list[str], work: Path, deadline: float) -> list[str]:
    """Tries the cases until one kills the process that tries; those that are left."""
    command = [sys.executable, "-m", "benchmarks.operators", "--serve"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, work.open("a") as file:
        for done, name in enumerate(names):
            if time.monotonic() > deadline:
                process.stdin.close()
                return names[done:]
            process.stdin.write(name + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                lost = Trial(name, "refused", f"the conversion died (exit status {process.wait()})")
                file.write(json.dumps(asdict(lost)) + "\n")
                return names[done + 1 :]
            file.write(line)
            file.flush()
        process.stdin.close()
    return []


def _serve() -> int:
    """Tries the cases whose names come as lines."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(asdict(attempt(cases()[line.strip()]))) + "\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
