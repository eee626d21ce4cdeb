"""A worker process, as the engine starts it; the file descriptors are inherited."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Sequence

from clockwork_triton.worker.process import (
    become_real_time,
    keep_cores_awake,
    prepare_environment,
    prepare_process,
)

log = logging.getLogger(__name__)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="clockwork_triton.worker", description=__doc__)
    parser.add_argument("--worker-id", type=int, required=True)
    parser.add_argument("--device", required=True, help="cpu:N, cuda:N or emulated:KIND")
    parser.add_argument(
        "--memory", type=int, required=True, help="bytes of device memory for weights; 0: all of a GPU"
    )
    parser.add_argument("--page-bytes", type=int, help="of that memory; default: as artifacts have them")
    parser.add_argument("--workspace", type=int, required=True, help="bytes for intermediate tensors")
    parser.add_argument("--slots", type=int, required=True, help="I/O slots")
    parser.add_argument("--slot-bytes", type=int, required=True, help="bytes of an I/O slot")
    parser.add_argument("--channel-fd", type=int, required=True, help="a connected stream socket")
    parser.add_argument("--io-fd", type=int, required=True, help="the file of the I/O slots")
    parser.add_argument(
        "--arena-fds", default="", help="files of front ends' tensors, with commas between them"
    )
    parser.add_argument("--cores", default="", help="cores to run on, with commas between them; default: any")
    parser.add_argument("--busy-poll-us", type=int, default=0, help="how long it looks before it sleeps")
    parser.add_argument("--threads", type=int, default=1, help="threads that share a kernel of a CPU")
    parser.add_argument("--spin-us", type=int, default=80, help="precision of windows against a core's time")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until told to stop or left alone; the exit status is 0 then, and 1 after an error."""
    arguments = _arguments(argv)
    logging.basicConfig(
        level=logging.INFO,
        format=f"worker {arguments.worker_id}: %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    prepare_environment(arguments.threads)
    prepare_process(int(core) for core in arguments.cores.split(",") if core)
    on_gpu = arguments.device.startswith("cuda")
    if on_gpu:
        keep_cores_awake()

    from clockwork_triton.artifact.pages import device_page_bytes
    from clockwork_triton.transport.blocking import BlockingChannel
    from clockwork_triton.transport.framing import ChannelError
    from clockwork_triton.worker.device import DeviceOptions
    from clockwork_triton.worker.devices import open_device
    from clockwork_triton.worker.worker import Worker

    options = DeviceOptions(
        memory_bytes=arguments.memory,
        workspace_bytes=arguments.workspace,
        page_bytes=arguments.page_bytes or device_page_bytes(arguments.device),
        slots=arguments.slots,
        slot_bytes=arguments.slot_bytes,
        io_fd=arguments.io_fd,
        arena_fds=tuple(int(fd) for fd in arguments.arena_fds.split(",") if fd),
        threads=arguments.threads,
    )
    try:
        device = open_device(arguments.device, options)
    except (ValueError, OSError) as error:
        log.error("cannot open %s: %s", arguments.device, error)
        return 1
    channel = BlockingChannel(socket.socket(fileno=arguments.channel_fd))
    worker = Worker(
        arguments.worker_id,
        arguments.device,
        device,
        options,
        channel,
        spin_ns=arguments.spin_us * 1000,
        poll_ns=arguments.busy_poll_us * 1000,
        prepare=become_real_time if on_gpu else lambda: None,
    )
    try:
        worker.serve()
    except (ChannelError, OSError) as error:
        log.error("the channel failed: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
