"""Round trips between this process and a child on the same host: an action there, its result back.

    python benchmarks/transport.py [--count N]

`channel`: the child answers from its receiving thread, so this is the transport alone. `worker`: a real
worker refuses the action as too late, so its queue and its executor's thread are in the way too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time

from clockwork_triton.artifact import Distribution
from clockwork_triton.controller.actions import Action, ActionKind
from clockwork_triton.transport import messages
from clockwork_triton.transport.channel import Channel
from clockwork_triton.transport.clockwork_pb2 import Envelope, Shutdown

ECHO = """
import socket, sys
from clockwork_triton.controller.actions import Status
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.messages import Stages, action_of, result_envelope
channel = BlockingChannel(socket.socket(fileno=int(sys.argv[1])))
while (arrival := channel.receive()) is not None and arrival[0].WhichOneof("body") == "action":
    action = action_of(arrival[0].action, 0)
    channel.send(result_envelope(action.action_id, Status.OK, arrival[1], Stages(1, 2)))
"""
SLOT_BYTES = 4096


def echo_command(fd: int, _: int) -> list[str]:
    return [sys.executable, "-c", ECHO, str(fd)]


def worker_command(fd: int, io_fd: int) -> list[str]:
    command = [sys.executable, "-m", "clockwork_triton.worker", "--worker-id", "0", "--device", "emulated"]
    command += ["--memory", "0", "--workspace", "0", "--slots", "1", "--slot-bytes", str(SLOT_BYTES)]
    return [*command, "--channel-fd", str(fd), "--io-fd", str(io_fd)]


class Pinger:
    """Sends an action whenever the result of the one before has come."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.durations: list[int] = []
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.channel = Channel(self._received, self.ended.set_result, asyncio.get_running_loop().call_soon)
        self._sent_ns = 0

    def start(self) -> None:
        self._sent_ns = time.monotonic_ns()
        action = Action(len(self.durations), ActionKind.INFER, 0, 1, 0, 1, 1_000_000, 4)
        self.channel.send(messages.action_envelope(action, 0))

    def _received(self, envelope: Envelope, _: int) -> None:
        if not envelope.HasField("result"):
            return
        self.durations.append(time.monotonic_ns() - self._sent_ns)
        if len(self.durations) < self.count:
            self.start()
        else:
            self.channel.send(Envelope(shutdown=Shutdown()))


async def round_trips(command: list[str], ours: socket.socket, fds: tuple[int, int], count: int) -> list[int]:
    """Nanoseconds of `count` round trips, one after the other, when a tenth of them has warmed both up."""
    pinger = Pinger(count + count // 10)
    process = subprocess.Popen(command, pass_fds=fds)
    os.close(fds[0])
    await asyncio.get_running_loop().create_unix_connection(lambda: pinger.channel, sock=ours)
    pinger.start()
    await pinger.ended
    process.wait()
    return pinger.durations[count // 10 :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    count = parser.parse_args().count
    io_fd = os.memfd_create("benchmark")
    os.ftruncate(io_fd, SLOT_BYTES)
    for name, command in (("channel", echo_command), ("worker", worker_command)):
        ours, theirs = socket.socketpair()
        fd = theirs.detach()
        durations = asyncio.run(round_trips(command(fd, io_fd), ours, (fd, io_fd), count))
        times = Distribution.of(durations)
        print(
            f"{name:8} p50 {times.p50_ns / 1000:.1f} us, p99 {times.p99_ns / 1000:.1f} us, "
            f"max {times.max_ns / 1000:.1f} us"
        )


if __name__ == "__main__":
    main()
