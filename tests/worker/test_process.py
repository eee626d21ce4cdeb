"""Real worker processes on the CPU."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.controller.actions import ActionKind, Status
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.worker.cpu_kind import cpu_kind
from tests.worker import tiny
from tests.worker.child import PAGES, SLOT_BYTES, SLOTS, Child

MANIFEST = tiny.manifest()


def rows(count: int, first: int = 0) -> tiny.Floats:
    return np.arange(first, first + count * tiny.WIDTH, dtype=np.float32).reshape(count, tiny.WIDTH)


def check_infer(child: Child, model_id: int, size: int, slot: int) -> None:
    x = rows(size, first=slot + size)
    child.write(MANIFEST, slot, x)
    result = child.infer(model_id, size, slot)
    assert (result.status, result.message) == (Status.OK, "")
    np.testing.assert_array_equal(child.read(MANIFEST, slot, size), tiny.expected(x))


def test_hello_tells_what_it_is(child: Child) -> None:
    hello = child.hello
    assert (hello.worker_id, hello.device, hello.device_kind) == (7, "cpu:0", cpu_kind())
    assert hello.pid == child.process.pid
    assert (hello.page_bytes, hello.pages, hello.workspace_bytes) == (tiny.PAGE, PAGES, tiny.PAGE)
    assert (hello.slots, hello.slot_bytes, hello.overlaps) == (SLOTS, SLOT_BYTES, False)


def test_loads_infers_and_unloads(child: Child, artifact: Path) -> None:
    assert child.register(1, artifact) == ""
    assert child.infer(1, 1).status is Status.NOT_LOADED
    loaded = child.load(1, 5, 9)
    assert loaded.status is Status.OK
    assert 0 < loaded.received_ns <= loaded.begin_ns <= loaded.end_ns
    for slot, size in ((0, 1), (2, 2), (1, 1), (0, 2)):
        check_infer(child, 1, size, slot)
    assert child.unload(1).status is Status.OK
    assert child.infer(1, 1).status is Status.NOT_LOADED


def test_a_model_works_wherever_it_is_loaded(child: Child, artifact: Path) -> None:
    """Two models of one artifact, each loaded to two places, with the other's weights over the old ones."""
    for model_id in (1, 2):
        assert child.register(model_id, artifact) == ""
    for places in (((0, 1), (14, 12)), ((15, 12), (2, 0))):
        for model_id, pages in enumerate(places, 1):
            assert child.load(model_id, *pages).status is Status.OK
        for model_id in (1, 2):
            check_infer(child, model_id, 2, 1)
            assert child.unload(model_id).status is Status.OK


def test_a_bad_placement_is_refused(child: Child, artifact: Path) -> None:
    for model_id in (1, 2):
        child.register(model_id, artifact)
    assert child.load(1, 0, PAGES - 1).status is Status.INVALID_ACTION
    assert child.load(1, 0, 1).status is Status.OK
    refused = child.load(2, 4, 2)
    assert (refused.status, refused.message) == (Status.INVALID_ACTION, "page 2 belongs to model 1")
    assert (refused.begin_ns, refused.end_ns) == (0, 0)
    check_infer(child, 1, 1, 0)


def test_windows_are_kept(child: Child, artifact: Path) -> None:
    child.register(1, artifact)
    child.load(1, 0, 1)
    refused = child.infer(1, 1, latest_ns=time.monotonic_ns())
    assert (refused.status, refused.begin_ns, refused.end_ns) == (Status.TOO_LATE, 0, 0)
    assert refused.received_ns > 0
    earliest_ns = time.monotonic_ns() + 20_000_000
    result = child.infer(1, 1, earliest_ns=earliest_ns)
    assert result.status is Status.OK
    assert earliest_ns <= result.begin_ns <= result.end_ns


def test_orders_start_in_the_order_of_their_windows(child: Child, artifact: Path) -> None:
    child.register(1, artifact)
    now_ns = time.monotonic_ns()
    infer = child.order(ActionKind.INFER, 1, batch_size=1, earliest_ns=now_ns + 300_000_000)
    load = child.order(ActionKind.LOAD, 1, pages=(3, 4), earliest_ns=now_ns + 150_000_000)
    results = [child.result(), child.result()]
    assert [(r.action_id, r.status) for r in results] == [(load, Status.OK), (infer, Status.OK)]


def test_a_kernel_that_fails_costs_its_action_only(child: Child, artifact: Path) -> None:
    child.register(1, artifact)
    child.load(1, 0, 1)
    failed = child.infer(1, tiny.BROKEN_SIZE)
    assert failed.status is Status.DEVICE_ERROR
    assert "shape" in failed.message
    assert (failed.begin_ns, failed.end_ns) == (0, 0)
    check_infer(child, 1, 1, 0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: (path / "manifest.json").unlink(), "manifest.json"),
        (lambda path: (path / "manifest.json").write_text("{}"), "not an artifact manifest"),
        (lambda path: (path / "kernels.so").unlink(), "kernels.so"),
        (lambda path: _replace(path / "kernels.so", b"no library"), "kernels.so"),
        (lambda path: (path / "weights.bin").unlink(), "weights.bin"),
        (lambda path: _replace(path / "weights.bin", b"short"), "shorter than the manifest says"),
        (lambda path: tiny.with_changes(path, page_bytes=8192), "laid out for pages of 8192 bytes, not 4096"),
        (lambda path: tiny.with_changes(path, cpu_features=("pni", "avx4096")), "lacks avx4096"),
    ],
)
def test_what_cannot_be_run_is_said_why_and_costs_itself_only(
    child: Child, artifact: Path, tmp_path: Path, *, kernels: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(artifact)
    assert reason in child.register(1, artifact)
    assert child.infer(1, 1).status is Status.UNKNOWN_MODEL
    assert child.register(1, tiny.write(tmp_path / "good", kernels)) == ""
    child.load(1, 0, 1)
    check_infer(child, 1, 1, 0)


def _replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_a_device_that_is_too_small_says_so(artifact: Path) -> None:
    for options, reason in (
        ({"pages": 2}, "3 pages of 4096 bytes and the device memory has 2"),
        ({"workspace_bytes": 90}, "a workspace of 128 bytes and the device has 90"),
    ):
        child = Child("cpu:0", **options)
        assert reason in child.register(1, artifact)
        child.close()


def test_unregistering_frees_the_pages_and_the_id(child: Child, artifact: Path) -> None:
    child.register(1, artifact)
    child.load(1, 0, 1)
    child.unregister(1)
    assert child.register(1, artifact) == ""
    assert child.infer(1, 1).status is Status.NOT_LOADED
    assert child.load(1, 0, 1).status is Status.OK


def test_shutdown_ends_it_well(mortal: Child, artifact: Path) -> None:
    mortal.register(1, artifact)
    mortal.shut_down()
    assert mortal.end() == ""
    assert mortal.process.returncode == 0


def test_the_end_of_the_channel_ends_it(mortal: Child) -> None:
    mortal.channel.close()
    assert mortal.end() == ""
    assert mortal.process.returncode == 0


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", struct.pack("<I", 3) + b"\xff\xff\xff", struct.pack("<I", 2) + b"\x1a\x00"],
    ids=["a length", "a message", "a message for the other side"],
)
def test_garbage_ends_it_with_a_reason(mortal: Child, data: bytes) -> None:
    mortal.socket.sendall(data)
    assert "the channel failed" in mortal.end()
    assert mortal.process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_group_do_not_end_it(child: Child, artifact: Path, number: int) -> None:
    child.process.send_signal(number)
    assert child.register(1, artifact) == ""
    child.load(1, 0, 1)
    check_infer(child, 1, 1, 0)


ORPHANAGE = """
import signal, subprocess, sys
command = [sys.executable, "-m", "clockwork_triton.worker", *sys.argv[3:]]
subprocess.Popen(command, pass_fds=map(int, sys.argv[1:3]))
signal.pause()
"""


def test_the_death_of_the_parent_ends_it(tmp_path: Path) -> None:
    """Even where somebody else still holds the other end of its channel."""
    ours, theirs = socket.socketpair()
    with (tmp_path / "io").open("wb+") as io, ours:
        io.truncate(4096)
        fds = (theirs.fileno(), io.fileno())
        options = ["--worker-id", "1", "--device", "emulated", "--memory", "0", "--workspace", "0"]
        options += ["--slots", "1", "--slot-bytes", "4096"]
        options += ["--channel-fd", str(fds[0]), "--io-fd", str(fds[1])]
        parent = subprocess.Popen([sys.executable, "-c", ORPHANAGE, *map(str, fds), *options], pass_fds=fds)
        theirs.close()
        channel = BlockingChannel(ours)
        assert channel.receive() is not None
        parent.kill()
        parent.wait()
        assert channel.receive() is None


def test_its_death_closes_the_channel(mortal: Child, artifact: Path) -> None:
    mortal.register(1, artifact)
    mortal.process.kill()
    assert mortal.channel.receive() is None


def test_serving_takes_no_memory_and_starts_no_thread(mortal: Child, artifact: Path) -> None:
    mortal.register(1, artifact)

    def serve(count: int) -> None:
        for number in range(count):
            assert mortal.load(1, number % 5, 5 + number % 7).status is Status.OK
            for size in tiny.SIZES:
                assert mortal.infer(1, size, number % SLOTS).status is Status.OK
            assert mortal.unload(1).status is Status.OK

    serve(50)
    before = _status(mortal, "VmRSS"), _status(mortal, "Threads")
    serve(500)
    after = _status(mortal, "VmRSS"), _status(mortal, "Threads")
    assert after[0] - before[0] < 256
    assert after[1] == before[1] == 2


def _status(child: Child, name: str) -> int:
    """A number of /proc/PID/status; memory is in KiB."""
    for line in Path(f"/proc/{child.process.pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(name)


def test_it_stays_on_its_cores(artifact: Path) -> None:
    core = min(os.sched_getaffinity(0))
    child = Child("cpu:0", "--cores", str(core))
    child.register(1, artifact)
    for task in Path(f"/proc/{child.process.pid}/task").iterdir():
        assert os.sched_getaffinity(int(task.name)) == {core}
    child.close()


def test_a_device_that_is_not_there_ends_it_with_a_reason() -> None:
    with pytest.raises(AssertionError, match="cannot open tpu: no such device"):
        Child("tpu")
