"""Runs the steps of a check, each in a process of its own, and rewrites the report after each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.kit import Model
from benchmarks.gpu.report import Report
from benchmarks.gpu.results import Failure, Machine, Record, from_line
from benchmarks.gpu.tasks import OWN_SHARE, Plan, Task, share

END_S = 5.0
LEAST_S = 1.0
"""In which no step can be done."""


class NothingToCheck(Exception):
    """There is no such GPU; the text says why."""


def check(plan: Plan, models: Sequence[Model], output: Path, deadline_s: float) -> Report:
    """The last report, which is in `output`. NothingToCheck."""
    begin = time.monotonic()
    records: list[Record] = []
    report = Report(records, models, plan.serve, {})
    steps = plan.steps(models)
    for number, (task, _) in enumerate(steps):
        began = time.monotonic()
        limit_s = share([most for _, most in steps[number:]], deadline_s - (began - begin))
        found = run(task, limit_s)
        records += found
        now = time.monotonic()
        report.seconds[task.name] = now - began
        report.write(output)
        if not any(isinstance(record, Machine) for record in records):
            reasons = [record.reason for record in found if isinstance(record, Failure)]
            raise NothingToCheck("; ".join(reasons))
        _tell(task, found, now - began, now - begin)
    return report


def _tell(task: Task, found: Sequence[Record], took_s: float, since_s: float) -> None:
    failures = [record for record in found if isinstance(record, Failure)]
    word = "; ".join(f"{record.what}: {record.reason}" for record in failures)[:300] or "measured"
    print(f"{since_s:6.1f} s  {task.name} ({took_s:.1f} s): {word}", flush=True)


def run(task: Task, limit_s: float) -> list[Record]:
    """What a step found in so much time, whatever became of its process."""
    if limit_s < LEAST_S:
        return [Failure(task.name, "there was no time left")]
    task = replace(task, seconds=OWN_SHARE * limit_s)
    with tempfile.TemporaryDirectory(prefix="check-gpu-") as folder:
        file, log = Path(folder) / "records", Path(folder) / "log"
        reason = _run(task, file, log, limit_s)
        records: list[Record] = []
        with suppress(FileNotFoundError):
            for line in file.read_text().splitlines():
                # The last may be cut short.
                with suppress(ValueError, KeyError, TypeError):
                    records.append(from_line(line))
        if reason:
            records.append(Failure(task.name, reason))
        return records


def _run(task: Task, file: Path, log: Path, limit_s: float) -> str:
    """How the process ended, if not well."""
    command = [sys.executable, "-m", "benchmarks.gpu.step", task.to_json(), str(file), str(os.getpid())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(file.parent)},
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return f"it was not done within {limit_s:.0f} s"
        finally:
            # With whatever it had started, a server for instance.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # One that is in a call of a driver that hangs does not end; the others are to have their turn.
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
    if status == 0:
        return ""
    how = f"with {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    said = log.read_text(errors="replace").strip().splitlines()
    return f"its process ended {how}: {said[-1][:300] if said else 'it said nothing'}"
