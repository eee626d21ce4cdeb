"""The controller's state, for people and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clockwork_triton.controller.replica import Residency
from clockwork_triton.controller.state import State


@dataclass(frozen=True, slots=True)
class ReplicaView:
    """A model on a worker. `infer_ns`: predicted duration by batch size."""

    worker_id: int
    residency: str
    load_ns: int
    infer_ns: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class ModelView:
    model_id: int
    name: str
    queued_requests: int
    queued_rows: int
    in_flight: int
    retired: bool
    replicas: tuple[ReplicaView, ...]


@dataclass(frozen=True, slots=True)
class WorkerView:
    worker_id: int
    device_kind: str
    pages: int
    pages_used: int
    infers_outstanding: int
    loads_outstanding: int
    stuck: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    models: tuple[ModelView, ...]
    workers: tuple[WorkerView, ...]
    counters: Mapping[str, int]


def snapshot(state: State) -> Snapshot:
    """Views of all models and workers. Replicas are listed where the model is, or is being loaded."""
    held: dict[int, list[ReplicaView]] = {}
    for worker in state.workers.values():
        for model_id, replica in worker.replicas.items():
            if replica.residency is not Residency.ABSENT:
                held.setdefault(model_id, []).append(
                    ReplicaView(
                        worker.worker_id,
                        replica.residency.name,
                        replica.load.bound_ns,
                        dict(zip(replica.model.sizes, replica.bound_ns, strict=False)),
                    )
                )
    models = tuple(
        ModelView(
            model.model_id,
            model.spec.name,
            len(model.queue),
            model.queue.rows,
            model.in_flight,
            model.retired,
            tuple(held.get(model.model_id, ())),
        )
        for model in state.models.values()
    )
    workers = tuple(
        WorkerView(
            worker.worker_id,
            worker.spec.device_kind,
            worker.spec.pages,
            worker.arena.used_pages,
            worker.infers,
            len(worker.flights) - worker.infers,
            worker.stuck,
        )
        for worker in state.workers.values()
    )
    return Snapshot(models, workers, state.counters.as_dict())
