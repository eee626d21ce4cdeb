"""Measuring models in the time that requests leave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median_low

from clockwork_triton.controller.actions import ActionKind, ActionResult, Status
from clockwork_triton.controller.commands import Calibrated
from clockwork_triton.controller.estimates import WINDOW
from clockwork_triton.controller.events import CalibrationAsked
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.loader import Loader
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.replica import Replica, Residency
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import Flight, WorkerState

# How often one action of a calibration may fail for a passing reason before the calibration does.
RETRIES = 10
# How long to wait before looking for room again.
ROOM_RETRY_NS = 10_000_000
# No probe begins while there are so many others, or calibrations.
MOST_JOBS = 16
# A duration of at least this part of a rough estimate confirms it.
CONFIRMED = 0.9


class Calibration:
    """One CalibrationAsked and how far it has come. Its actions go out one at a time.

    `probe`: it was asked for by the controller itself, which learns from its results, and wants no more of a
    batch size once a duration has confirmed the rough estimate.
    """

    def __init__(self, asked: CalibrationAsked, model: ModelState, *, probe: bool = False) -> None:
        self.asked = asked
        self.model = model
        self.probe = probe
        self.sizes = tuple(sorted(asked.rough.infer_ns))
        self.worker: WorkerState | None = None
        self.flight: Flight | None = None
        self.errors = 0
        self.restart()

    def restart(self) -> None:
        self.worker = None
        self.flight = None
        self.load_ns: list[int] = []
        self.infer_ns: dict[int, list[int]] = {size: [] for size in self.asked.runs}
        self.clocks_mhz: list[int] = []
        self.confirmed: set[int] = set()

    def ran(self, batch_size: int, duration_ns: int, clock_mhz: int) -> None:
        self.infer_ns[batch_size].append(duration_ns)
        if clock_mhz:
            self.clocks_mhz.append(clock_mhz)
        if self.probe and duration_ns >= CONFIRMED * self.asked.rough.infer_ns[batch_size]:
            self.confirmed.add(batch_size)

    def next_run(self) -> int | None:
        """The batch size to run next."""
        for size, runs in sorted(self.asked.runs.items()):
            if len(self.infer_ns[size]) < runs and size not in self.confirmed:
                return size
        return None


class Calibrator:
    """Each worker calibrates one model at a time; the others wait in the order they were asked for."""

    def __init__(self, state: State, loader: Loader, resume: Callable[[WorkerState, int], None]) -> None:
        self._state = state
        self._loader = loader
        self._resume = resume
        self._jobs: list[Calibration] = []

    def ask(self, asked: CalibrationAsked, model: ModelState, now_ns: int) -> None:
        job = Calibration(asked, model)
        self._jobs.append(job)
        self._assign(now_ns)

    def may_probe(self, model: ModelState) -> bool:
        """Whether the model may be measured again: it is not being measured, and not too many others are."""
        return len(self._jobs) < MOST_JOBS and all(job.model is not model for job in self._jobs)

    def probe(self, replica: Replica, bounds_ns: Mapping[int, int], now_ns: int) -> None:
        """Measures these batch sizes again, which are thought to take that long."""
        model, worker = replica.model, replica.worker
        rough = Estimate(replica.load.expected_ns, bounds_ns)
        runs = dict.fromkeys(bounds_ns, WINDOW)
        asked = CalibrationAsked(model.model_id, worker.spec.device_kind, rough, 0, runs)
        job = Calibration(asked, model, probe=True)
        job.worker = worker
        self._jobs.append(job)
        self._state.timers.at(now_ns, self._retry, worker)

    def abandon(self, model: ModelState, reason: str) -> None:
        """Gives up the calibrations of a model."""
        for job in [job for job in self._jobs if job.model is model]:
            self._finish(job, reason)

    def worker_joined(self, now_ns: int) -> None:
        self._assign(now_ns)

    def worker_lost(self, worker: WorkerState, now_ns: int) -> None:
        for job in self._jobs:
            if job.worker is worker:
                job.errors += 1
                job.restart()
        for job in [job for job in self._jobs if job.errors > 1 or (job.errors and job.probe)]:
            self._finish(job, "two workers were lost while it ran")
        self._assign(now_ns)

    def step(self, worker: WorkerState, now_ns: int) -> None:
        """The worker's device is free and no request wants it, or it is the calibration's turn."""
        job = next((job for job in self._jobs if job.worker is worker), None)
        if job is not None and job.flight is None:
            job.flight = self._next_action(job, worker, now_ns)

    def wanted(self, worker: WorkerState) -> bool:
        """Whether a calibration waits for this worker's device."""
        return bool(self._jobs) and any(job.worker is worker and job.flight is None for job in self._jobs)

    def result(self, flight: Flight, result: ActionResult, now_ns: int) -> None:
        """Takes the result of an action of a calibration; the books on memory are kept by the caller."""
        job = flight.calibration
        assert job is not None
        if job.flight is not flight:
            return
        job.flight = None
        kind = flight.action.kind
        if result.status is Status.OK:
            duration_ns = max(1, result.end_ns - result.begin_ns)
            if kind is ActionKind.LOAD:
                job.load_ns.append(duration_ns)
            elif kind is ActionKind.INFER:
                job.ran(flight.action.batch_size, duration_ns, result.clock_mhz)
            self._charge(flight.replica.worker, duration_ns, now_ns)
            replica = flight.replica
            done = len(job.load_ns) >= job.asked.loads and replica.residency is Residency.RESIDENT
            if done and job.next_run() is None:
                self._finish(job, "")
        elif result.status in (Status.TOO_LATE, Status.NOT_LOADED) and job.errors < RETRIES:
            job.errors += 1
        else:
            self._finish(job, result.message or result.status.name)
        self._assign(now_ns)

    def _charge(self, worker: WorkerState, duration_ns: int, now_ns: int) -> None:
        worker.calibrate_ns = now_ns + int(duration_ns / self._state.options.calibration_share)

    def _finish(self, job: Calibration, error: str) -> None:
        self._jobs.remove(job)
        job.flight = None
        if job.worker is not None:
            replica = job.worker.replicas.get(job.model.model_id)
            if replica is not None:
                replica.held = False
        if job.probe:
            return
        # The clock is told once for each look, so all its news may have come with results of other actions.
        known_mhz = job.worker.clock_mhz if job.worker is not None else 0
        self._state.out.append(
            Calibrated(
                job.model.model_id,
                job.asked.device_kind,
                tuple(job.load_ns),
                {size: tuple(times) for size, times in job.infer_ns.items()},
                error,
                median_low(job.clocks_mhz) if job.clocks_mhz else known_mhz,
            )
        )

    def _assign(self, now_ns: int) -> None:
        busy = {job.worker.worker_id for job in self._jobs if job.worker is not None}
        for job in self._jobs:
            if job.worker is not None:
                continue
            for worker in self._state.workers.values():
                fitting = worker.spec.device_kind == job.asked.device_kind
                if worker.worker_id in busy or worker.stuck or not fitting:
                    continue
                if not job.model.spec.may_use(worker.spec):
                    continue
                job.worker = worker
                busy.add(worker.worker_id)
                self._state.timers.at(now_ns, self._retry, worker)
                break

    def _next_action(self, job: Calibration, worker: WorkerState, now_ns: int) -> Flight | None:
        replica = self._replica(job, worker)
        if replica is None:
            self._finish(job, "the model is larger than the device's memory")
            return None
        flight: Flight | None
        if replica.residency is Residency.ABSENT:
            flight = self._loader.load(replica, now_ns, idle_only=True)
            if flight is None:
                self._state.timers.at(now_ns + ROOM_RETRY_NS, self._retry, worker)
        elif replica.residency is Residency.RESIDENT and len(job.load_ns) >= job.asked.loads:
            flight = self._infer(job, replica, now_ns)
        elif replica.residency is Residency.LOADING or replica.in_flight:
            self._state.timers.at(now_ns + ROOM_RETRY_NS, self._retry, worker)
            return None
        else:
            flight = self._loader.unload(replica, now_ns)
        if flight is not None:
            flight.calibration = job
        return flight

    def _replica(self, job: Calibration, worker: WorkerState) -> Replica | None:
        if job.model.spec.pages > worker.spec.pages:
            return None
        replica = self._state.replica(job.model, worker) or worker.replicas.get(job.model.model_id)
        if replica is None:
            replica = worker.replicas[job.model.model_id] = Replica(job.model, worker, self._state.serial())
        if job.model.spec.estimate_on(worker.spec) is None and not replica.held:
            replica.renew(job.asked.rough, job.sizes)
        replica.held = True
        return replica

    def _infer(self, job: Calibration, replica: Replica, now_ns: int) -> Flight:
        batch_size = job.next_run()
        assert batch_size is not None
        expected_ns = job.asked.rough.infer_ns[batch_size]
        known = replica.model.sizes
        size = known.index(batch_size) if batch_size in known else 0
        flight = self._state.send(
            ActionKind.INFER, replica, (now_ns, FAR), expected_ns, size=size, batch_size=batch_size
        )
        worker = replica.worker
        worker.exec.add(flight.action.action_id, expected_ns, now_ns + self._state.options.lead_ns)
        worker.infers += 1
        replica.in_flight += 1
        return flight

    def _retry(self, worker: WorkerState, _time_ns: int, now_ns: int) -> None:
        if self._state.workers.get(worker.worker_id) is worker:
            self._resume(worker, now_ns)
