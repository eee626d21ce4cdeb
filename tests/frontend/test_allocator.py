from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource, sys
from clockwork_triton.frontend.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    for _ in range(10):
        first, second = bytearray(600_000), bytearray(600_000)
        del first, second
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to set without glibc")
def test_freed_memory_is_taken_again_without_page_faults() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, "kept"], check=True, capture_output=True, timeout=60
    )
    assert int(done.stdout) < 100
