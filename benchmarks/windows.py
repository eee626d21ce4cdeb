"""How late a worker starts actions whose windows begin in the future.

    python benchmarks/windows.py [--count N] [--spin-us N]

The device is emulated with a profile of nothing, so what is measured is the waiting alone.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clockwork_triton.artifact import Distribution, Manifest, Profile, Variant
from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.transport import messages
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, RegisterModel, Shutdown

AHEAD_NS = 3_000_000
SLOT_BYTES = 4096


def write_artifact(directory: Path) -> None:
    """A model that does nothing and takes no time."""
    variants = {1: Variant(1, 0, (), ())}
    manifest = Manifest("nothing", "cpu", 1, (), (), SLOT_BYTES, (), variants, {})
    (directory / "manifest.json").write_text(manifest.to_json())
    nothing = Distribution.of([0])
    Profile("emulated", nothing, {1: nothing}).write(directory)


def lateness(channel: BlockingChannel, artifact: Path, count: int) -> list[int]:
    """Nanoseconds between the beginning of the window and that of the action, one action after the other."""
    channel.receive()
    channel.send(Envelope(register_model=RegisterModel(model_id=1, artifact=str(artifact))))
    channel.receive()
    late = []
    for number in range(count + 1):
        earliest_ns = time.monotonic_ns() + AHEAD_NS
        kind = ActionKind.INFER if number else ActionKind.LOAD
        action = Action(number, kind, 0, 1, earliest_ns, 2 * earliest_ns, 0, batch_size=1)
        channel.send(messages.action_envelope(action))
        arrival = channel.receive()
        assert arrival is not None
        result = messages.action_result(arrival[0].result, 0)
        assert result.status is Status.OK
        late.append(result.begin_ns - earliest_ns)
    channel.send(Envelope(shutdown=Shutdown()))
    return late[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--spin-us", type=int, default=80)
    arguments = parser.parse_args()
    io_fd = os.memfd_create("benchmark")
    os.ftruncate(io_fd, SLOT_BYTES)
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "clockwork_triton.worker", "--worker-id", "0", "--device", "emulated"]
    command += ["--memory", "0", "--page-bytes", str(SLOT_BYTES), "--workspace", "0", "--slots", "1"]
    command += ["--slot-bytes", str(SLOT_BYTES), "--spin-us", str(arguments.spin_us)]
    command += ["--channel-fd", str(theirs.fileno()), "--io-fd", str(io_fd)]
    with tempfile.TemporaryDirectory() as directory:
        write_artifact(Path(directory))
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(), io_fd))
        theirs.close()
        times = Distribution.of(lateness(BlockingChannel(ours), Path(directory), arguments.count))
        process.wait()
    print(
        f"late by: p50 {times.p50_ns / 1000:.1f} us, p90 {times.p90_ns / 1000:.1f} us, "
        f"p99 {times.p99_ns / 1000:.1f} us, max {times.max_ns / 1000:.1f} us"
    )


if __name__ == "__main__":
    main()
