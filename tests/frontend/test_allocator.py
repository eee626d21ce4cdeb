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


THREADS = """
import sys, threading
from pathlib import Path
from clockwork_triton.frontend.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def unpack():
    blocks = [bytearray(10_000_000) for _ in range(6)]
    del blocks
threads = []
def hold():
    unpack()
    barrier.wait()
barrier = threading.Barrier(7)
for _ in range(6):
    thread = threading.Thread(target=hold)
    thread.start()
    threads.append(thread)
barrier.wait()
for thread in threads:
    thread.join()
status = Path("/proc/self/status").read_text()
print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to set without glibc")
def test_what_one_thread_frees_serves_the_others() -> None:
    """Of six threads that once held 60 MB each, at most the 256 MB that the settings allow are kept."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS, "kept"], check=True, capture_output=True, timeout=60
    )
    assert int(done.stdout) < 300
