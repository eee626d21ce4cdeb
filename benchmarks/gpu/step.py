"""The process of one step: `python -m benchmarks.gpu.step TASK FILE PARENT_PID`.

TASK is JSON, and FILE is where its records go, a line each. A kernel that faults ends the use of the GPU for
its whole process, and a driver that hangs hangs it. What was measured before is in the file then.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from benchmarks.gpu import beside, kit, measure
from benchmarks.gpu.results import Failure, Record, Suite, to_line
from benchmarks.gpu.tasks import Task
from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.libcuda import LibCuda
from clockwork_triton.worker.process import (
    become_real_time,
    keep_cores_awake,
    prepare_environment,
    prepare_process,
)
from converters.child import die_with_parent

ROOT = Path(__file__).resolve().parents[2]


def main(text: str, records: str) -> int:
    """0 also where something failed: the records say so."""
    begin = time.monotonic()
    task = Task.from_json(text)
    with Path(records).open("a") as file:
        try:
            for record in STEPS[task.kind](task, begin + task.seconds):
                _write(file, record)
        except Exception as error:
            _write(file, measure.failure(task.name, error))
    return 0


def _write(file: TextIO, record: Record) -> None:
    file.write(to_line(record))
    file.flush()


def _machine(task: Task, until: float) -> Iterator[Record]:
    from benchmarks.gpu.machine import machine

    yield from machine(task.device)


def _unpack(task: Task, until: float) -> Iterator[Record]:
    kit.find(Path(task.kit), task.model).unpack()
    yield from ()


def _measuring(
    what: Callable[..., Iterator[Record]], *, timed: bool = True
) -> Callable[[Task, float], Iterator[Record]]:
    def step(task: Task, until: float) -> Iterator[Record]:
        model = kit.find(Path(task.kit), task.model)
        # As the process of a worker, and its thread of INFERs, and with the GPU's clock followed as there.
        prepare_process(())
        keep_cores_awake()
        arguments = (task.runs, until) if timed else ()
        yield from what(
            model,
            lambda: LibCuda(task.device),
            *arguments,
            nvml=Nvml.open(),
            prepare=become_real_time,
        )

    return step


def _torch(task: Task, until: float) -> Iterator[Record]:
    if importlib.util.find_spec("torch") is None:
        yield Failure("PyTorch", "PyTorch is not there")
        return
    from benchmarks.gpu.pytorch import compare

    yield from compare(kit.read(Path(task.kit)), task.device, until)


def _serving(task: Task, until: float) -> Iterator[Record]:
    from benchmarks.gpu.requirements import missing

    if lacking := missing():
        yield Failure("serving", f"not there: {', '.join(lacking)}")
        return
    from benchmarks.gpu.serving import serve

    models = [model for model in kit.read(Path(task.kit)) if model.key in task.serve]
    yield from serve(models, task.device, until)


def _tests(task: Task, until: float) -> Iterator[Record]:
    if importlib.util.find_spec("pytest") is None:
        yield Failure("tests", "pytest is not there")
        return
    # The warnings of packages that happen to be there are no failures of ours.
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "default", "-rfEs"]
    environment = {**os.environ, "GPU_KIT": task.kit}
    done = subprocess.run(
        [*command, *task.tests], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    said = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["it said nothing"]
    reasons = [line for line in said if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    # What was skipped was not checked.
    passed = done.returncode == 0 and not reasons and " passed" in said[-1]
    yield Suite("; ".join([said[-1].strip("= "), *reasons]), passed)


STEPS: dict[str, Callable[[Task, float], Iterator[Record]]] = {
    "machine": _machine,
    "unpack": _unpack,
    "infer": _measuring(measure.infers),
    "load": _measuring(measure.loads, timed=False),
    "PyTorch": _torch,
    "serving": _serving,
    "tests": _tests,
    "busy": _measuring(beside.busy),
    "register": _measuring(beside.registering),
    "plain": _measuring(measure.plain),
}


if __name__ == "__main__":
    die_with_parent(int(sys.argv[3]))
    prepare_environment()
    sys.exit(main(sys.argv[1], sys.argv[2]))
