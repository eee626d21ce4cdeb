"""What the controller keeps of one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockwork_triton.controller.actions import Action
from clockwork_triton.controller.delays import Delays
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.page_arena import PageArena
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.ready_pool import ReadyPool
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.controller.timeline import Timeline

# Changes of a clock by a smaller part of it are left to what is measured.
CLOCK_NOISE = 0.01
# A clock that nobody has seen for so long is not what the device will have for its next work.
CLOCK_KEPT_NS = 5_000_000_000

if TYPE_CHECKING:
    from clockwork_triton.controller.calibration import Calibration
    from clockwork_triton.controller.replica import Replica


class Flight:
    """An action at a worker. `size` is an index into the model's sizes; `start_ns`: when it was planned to
    start."""

    __slots__ = ("action", "calibration", "epoch", "replica", "requests", "size", "start_ns")

    def __init__(
        self,
        action: Action,
        replica: Replica,
        size: int = 0,
        requests: tuple[Pending, ...] = (),
        start_ns: int = 0,
    ) -> None:
        self.action = action
        self.replica = replica
        self.epoch = replica.epoch
        self.size = size
        self.requests = requests
        self.start_ns = start_ns
        self.calibration: Calibration | None = None


class WorkerState:
    """`bit`: what stands for it in masks. `exec` and `link` are one timeline where it does not overlap them.

    `pool`: resident models with requests waiting. `work_ns`, by class of slack, and `backlog_ns`: the waiting
    work it is reckoned to do, run one by one and in full batches; `queued_ns`: the same in the best batches,
    by priority level and tier. `opens_ns`: when it can be given another INFER, FAR if only a result can open
    it; `opening_ns`: the moment of the timer that notes it. `wake_ns`: the moment of the timer that gives it
    more work. `starts`: how much later than planned its INFERs start. `aged_ns`, `calibrate_ns`: from when on
    an aged request, or a calibration, may take a turn from others. `clock_mhz`: its device's clock as last
    seen, at `clocked_ns`; 0 if it tells none, or none lately. `fading_ns`: the moment of the timer that
    forgets it. `victims`: its resident models in the policy's order of unloading."""

    __slots__ = (
        "aged_ns",
        "arena",
        "backlog_ns",
        "bit",
        "calibrate_ns",
        "clock_mhz",
        "clocked_ns",
        "exec",
        "fading_ns",
        "flights",
        "infers",
        "link",
        "opening_ns",
        "opens_ns",
        "pool",
        "queued_ns",
        "replicas",
        "spec",
        "starts",
        "stuck",
        "victims",
        "wake_ns",
        "watch_ns",
        "work_ns",
        "worker_id",
    )

    def __init__(self, spec: WorkerSpec, bit: int) -> None:
        self.spec = spec
        self.worker_id = spec.worker_id
        self.bit = bit
        self.exec = Timeline()
        self.link = Timeline() if spec.overlaps else self.exec
        self.arena = PageArena(spec.pages)
        self.replicas: dict[int, Replica] = {}
        self.flights: dict[int, Flight] = {}
        self.infers = 0
        self.starts = Delays()
        self.stuck = False
        self.pool = ReadyPool()
        self.work_ns: dict[int, list[int]] = {}
        self.backlog_ns = 0
        self.queued_ns: dict[tuple[int, int], int] = {}
        self.victims: list[tuple[float, int, Replica]] = []
        self.opens_ns = 0
        self.opening_ns = FAR
        self.wake_ns = FAR
        self.watch_ns = FAR
        self.aged_ns = 0
        self.calibrate_ns = 0
        self.clock_mhz = 0
        self.clocked_ns = 0
        self.fading_ns = FAR

    def clock(self, mhz: int, now_ns: int) -> None:
        """Takes note of the device's clock as just seen, on which running times depend."""
        if abs(mhz - self.clock_mhz) > CLOCK_NOISE * self.clock_mhz:
            self.clock_mhz = mhz
            for replica in self.replicas.values():
                replica.clocked(mhz, self.clocked_ns)
        self.clocked_ns = now_ns

    def forget_clock(self) -> None:
        """What the device did when it was last seen is no reason to refuse what it may do now: everything is
        thought to take what it takes at its profile's clock."""
        self.clock_mhz = 0
        for replica in self.replicas.values():
            replica.clocked(replica.profile_mhz, self.clocked_ns)
