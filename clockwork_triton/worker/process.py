"""What a worker asks of the operating system and the interpreter."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29

WAKE_LATENCY = Path("/dev/cpu_dma_latency")
"""Holds, as long as it is open, how many microseconds a core may take to wake up: an int32."""
LIGHT_SLEEP_US = 2
"""The lightest sleep, without which idle cores would spin and take power and clock from busy ones."""

# Kernels run on the executor's thread and those it shares them with, on the cores of this process; any
# other pool of a library's would only get in their way.
_ENVIRONMENT = {"TVM_USE_RUNTIME_LIB": "1", "TVM_BIND_THREADS": "0"} | dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)


def prepare_environment(threads: int = 1) -> None:
    """To be called before TVM or numpy is imported. `threads`: how many share a kernel at most."""
    os.environ.update(_ENVIRONMENT, TVM_NUM_THREADS=str(threads))


def tie_to_parent() -> None:
    """Has this process end with its parent, and not by signals before it says so.

    Terminals and service managers signal the whole group. A process of the server serves until the server,
    which they signal too, has drained and says so, or is gone.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def prepare_process(cores: Iterable[int]) -> None:
    """Ties this process to its parent and to `cores` (none: any), and keeps interruptions away.

    Called by the thread that later starts the others, which inherit the cores and the precise timers.
    """
    tie_to_parent()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # Nanoseconds by which the kernel may be late to wake a sleeper; 50 microseconds unless set.
        libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    wanted = set(cores)
    if wanted:
        os.sched_setaffinity(0, wanted)
    # A thread that has work to do in Python waits at most this long for one that has more.
    sys.setswitchinterval(0.0005)
    gc.disable()


def keep_cores_awake(path: Path = WAKE_LATENCY) -> bool:
    """Has no core of the machine sleep deeply as long as this process lives; whether that is permitted.

    One that does takes tens to hundreds of microseconds to come back.
    """
    try:
        # Never closed: the system takes it back with the process.
        os.write(os.open(path, os.O_WRONLY), LIGHT_SLEEP_US.to_bytes(4, sys.byteorder))
    except OSError as error:
        log.info("cores may sleep deeply: %s: %s", path, error.strerror)
        return False
    return True


def become_real_time() -> bool:
    """Has the calling thread go before all ordinary ones; whether that is permitted.

    Not where the process has one core: the thread looks at clocks and at the GPU without end while it waits,
    and its own process' other threads must have their turn.
    """
    if len(os.sched_getaffinity(0)) < 2:
        log.warning("it has a single core, so the thread that starts kernels has no real-time priority")
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
    except OSError as error:
        log.warning("the thread that starts kernels has no real-time priority: %s", error.strerror)
        return False
    return True
