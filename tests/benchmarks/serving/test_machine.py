from __future__ import annotations

import hashlib
import subprocess
import sys

from benchmarks.serving import machine


def test_counts_its_own_work_and_that_of_children() -> None:
    others = machine.Others()
    before = machine._own_s()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 300_000)
    subprocess.run([sys.executable, "-c", "sum(range(5_000_000))"], check=True)
    own_s = machine._own_s() - before
    assert own_s > 0.05
    assert 0 <= others.share() <= 1
    busy_s, total_s = machine._machine_s()
    assert 0 < busy_s <= total_s


def test_description() -> None:
    text = machine.description()
    assert "cores of" in text
    assert "apache-tvm" in text
