from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.serving import processes

WAITS = "import sys; print('up', flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    yield process
    process.communicate()


def test_descendants(parent: subprocess.Popen[bytes]) -> None:
    assert parent.pid in [process.pid for process in processes.descendants(os.getpid())]
    (child,) = processes.descendants(parent.pid)
    assert child.alive()
    assert "sys.stdin.read" in child.command


def test_end_kills_what_does_not_end_by_itself(parent: subprocess.Popen[bytes]) -> None:
    family = processes.descendants(parent.pid)
    assert processes.end(family, patience_s=0) == family
    parent.wait()
    assert not any(process.alive() for process in family)
    assert processes.end(family, patience_s=0) == []
