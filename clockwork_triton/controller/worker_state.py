"""What the controller keeps of one worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clockwork_triton.controller.actions import Action
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.page_arena import PageArena
from clockwork_triton.controller.pending import FAR, Pending
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.controller.timeline import Timeline

if TYPE_CHECKING:
    from clockwork_triton.controller.calibration import Calibration


@dataclass(slots=True)
class Flight:
    """An action at a worker. `size` is an index into the model's sizes."""

    action: Action
    replica: Replica
    epoch: int
    size: int = 0
    requests: tuple[Pending, ...] = ()
    calibration: Calibration | None = None


class WorkerState:
    """`exec` and `link` are one timeline where the worker does not overlap them.

    `pool` is the policy's. `wake_ns`: the moment of the timer that opens the worker for more work.
    `aged_ns`, `calibrate_ns`: from when on an aged request, or a calibration, may take a turn from others.
    """

    __slots__ = (
        "aged_ns",
        "arena",
        "calibrate_ns",
        "exec",
        "flights",
        "infers",
        "link",
        "pool",
        "replicas",
        "spec",
        "stuck",
        "wake_ns",
        "watch_ns",
        "worker_id",
    )

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.worker_id = spec.worker_id
        self.exec = Timeline()
        self.link = Timeline() if spec.overlaps else self.exec
        self.arena = PageArena(spec.pages)
        self.replicas: dict[int, Replica] = {}
        self.flights: dict[int, Flight] = {}
        self.infers = 0
        self.stuck = False
        self.pool: list[tuple[int, int, Replica]] = []
        self.wake_ns = FAR
        self.watch_ns = FAR
        self.aged_ns = 0
        self.calibrate_ns = 0

    def may_infer(self, now_ns: int, options: Options) -> bool:
        """Whether another INFER should be planned now.

        An action is planned `schedule_ahead_ns` before the executor is expected to be free, and not earlier,
        however long the actions are: late enough to take the most urgent, early enough not to idle.
        """
        return (
            not self.stuck
            and self.infers < self.spec.slots
            and self.exec.available(now_ns) <= now_ns + options.schedule_ahead_ns
        )

    def may_load(self, now_ns: int, options: Options) -> bool:
        return not self.stuck and self.link.available(now_ns) <= now_ns + options.schedule_ahead_ns
