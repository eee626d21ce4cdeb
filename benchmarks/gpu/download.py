"""Fetches what a machine without the internet needs to check its GPU: wheels, and perf_analyzer.

Whatever Python runs this, the wheels are for that of the machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection
from pathlib import Path

from benchmarks.gpu.requirements import name_of, requirements

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17, 12)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
)
ARCHIVE = "perf-analyzer.tar.xz"


def download(folder: Path, without: Collection[str], python: str) -> int:
    """`without`: packages that the machine has; `python`: its version, such as 3.12. The exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    left_out = {name_of(name) for name in without if name}
    wanted = [each for each in requirements() if name_of(each) not in left_out]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    command += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    done = subprocess.run([*command, "--dest", str(folder), *wanted], check=False)
    if done.returncode:
        return done.returncode
    for wheel in folder.glob("*.whl"):
        if name_of(wheel.name.split("-")[0]) in left_out:
            wheel.unlink()
    if error := _perf_analyzer(folder / ARCHIVE):
        print(f"perf_analyzer is not in {folder}: {error}", file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {size / 2**20:.1f} MiB")
    return 0


def _perf_analyzer(archive: Path) -> str:
    """What went wrong, if anything did."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "perf-analyzer"
        done = subprocess.run(
            [str(ROOT / "scripts" / "perf-analyzer"), "--version"],
            env={**os.environ, "PERF_ANALYZER_HOME": str(home), "PERF_ANALYZER_FETCH": "whole"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["it does not run"])[-1]
        with tarfile.open(archive, "w:xz") as file:
            file.add(home, home.name)
    return ""
