"""Cores that do not sleep while a GPU is served, where the system permits it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clockwork_triton.worker.process import keep_cores_awake


def _open_at(path: Path) -> list[int]:
    """The descriptors of this process that are open at a path."""
    links = {int(link.name): link for link in Path("/proc/self/fd").iterdir()}
    return [fd for fd, link in links.items() if os.path.realpath(link) == str(path)]


def test_what_is_written_is_held(tmp_path: Path) -> None:
    path = tmp_path / "cpu_dma_latency"
    path.touch()
    assert keep_cores_awake(path)
    assert path.read_bytes() == (2).to_bytes(4, sys.byteorder)
    (fd,) = _open_at(path)
    assert not os.get_inheritable(fd), "it ends with this process"
    os.close(fd)


def test_what_is_not_permitted_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert not keep_cores_awake(tmp_path / "cpu_dma_latency")
    assert "No such file" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}


WORKER = """
import sys
import clockwork_triton.worker.__main__ as worker
worker.keep_cores_awake = lambda: print("awake")
sys.exit(worker.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("device", "said"), [("cuda:999", "awake\n"), ("tpu", "")])
def test_only_the_worker_of_a_gpu_keeps_cores_awake(device: str, said: str) -> None:
    options = ["--worker-id=0", f"--device={device}", "--memory=0", "--workspace=0", "--slots=1"]
    options += ["--slot-bytes=4096", "--channel-fd=0", "--io-fd=0"]
    command = [sys.executable, "-c", WORKER, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, said), done.stderr
