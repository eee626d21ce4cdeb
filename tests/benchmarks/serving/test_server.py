from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.serving.processes import descendants
from benchmarks.serving.server import Server, Setup, free_ports

METRICS = """# HELP late Answers sent after their deadline
late{model="digits",version="1"} 3
late{model="digits",version="2"} 4
late{model="simple",version="1"} 8
late_bucket{model="digits"} 100
up 1
"""


def test_free_ports_are_distinct() -> None:
    assert len(set(free_ports(20))) == 20


def test_metric(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Server, "metrics", lambda _: METRICS)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    server = Server(process, 1, 2, 3, tmp_path, tmp_path)
    assert server.metric("late", model="digits") == 7
    assert server.metric("late") == 15
    assert server.metric("up") == 1
    assert server.metric("late", model="other") == 0


def test_a_server_that_ends_at_once_is_an_error_with_its_words(tmp_path: Path) -> None:
    setup = Setup(
        [sys.executable, "-c", "print('no such flag'); raise SystemExit(2)"], tmp_path, tmp_path, tmp_path
    )
    with pytest.raises(RuntimeError, match=r"ended with 2:\nno such flag"), setup.serve(tmp_path):
        pass


def test_a_server_that_is_never_ready_is_an_error_and_does_not_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "__import__('time').sleep(60)"]
    setup = Setup(command, tmp_path, tmp_path, tmp_path, patience_s=0.3)
    with pytest.raises(RuntimeError, match=r"not ready within 0\.3 s"), setup.serve(tmp_path):
        pass
    assert not any("sleep(60)" in process.command for process in descendants(os.getpid()))
