"""What the controller keeps of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clockwork_triton.controller.pending import FAR
from clockwork_triton.controller.request_queue import RequestQueue
from clockwork_triton.controller.specs import ModelSpec

if TYPE_CHECKING:
    from clockwork_triton.controller.replica import Replica

NEVER = 1 << 100


class ModelState:
    """`sizes`: its batch sizes, ascending; durations by batch size are lists in this order.

    `resident`, `loading`: its replicas in that state, by worker id. `departed`: how many requests have left
    its queue. `expiry_ns`: the moment of the timer that looks for requests of it that have become hopeless.
    `key`, `pooled_key`, `load_score`: its places in the orders that the policy keeps.
    """

    __slots__ = (
        "departed",
        "expiry_ns",
        "in_flight",
        "key",
        "load_errors",
        "load_score",
        "loading",
        "model_id",
        "pooled_key",
        "profile_load_ns",
        "profile_ns",
        "queue",
        "resident",
        "retired",
        "sizes",
        "spec",
        "touched_ns",
        "unloading",
    )

    def __init__(self, spec: ModelSpec) -> None:
        self.model_id = spec.model_id
        self.queue = RequestQueue()
        self.resident: dict[int, Replica] = {}
        self.loading: dict[int, Replica] = {}
        self.unloading = 0
        self.in_flight = 0
        self.retired = False
        self.load_errors = 0
        self.load_score: tuple[int, int] | None = None
        self.departed = 0
        self.key = NEVER
        self.pooled_key = NEVER
        self.expiry_ns = FAR
        self.touched_ns = 0
        self.renew(spec)

    def renew(self, spec: ModelSpec) -> None:
        """Takes new estimates."""
        self.spec = spec
        kinds = list(spec.estimates.values())
        sizes = set.intersection(*[set(kind.infer_ns) for kind in kinds]) if kinds else set()
        self.sizes = tuple(sorted(sizes))
        self.profile_ns = tuple(min(kind.infer_ns[size] for kind in kinds) for size in self.sizes)
        self.profile_load_ns = min((kind.load_ns for kind in kinds), default=0)
        for _, _, _, pending in self.queue.entries:
            pending.size = self.size_for(pending.rows) or 0

    def size_for(self, rows: int) -> int | None:
        """The index of the smallest batch size that holds this many rows."""
        for index, size in enumerate(self.sizes):
            if size >= rows:
                return index
        return None

    def fastest_ns(self, size: int) -> int:
        """The shortest time in which any worker that holds the model runs this batch size."""
        if not self.resident:
            return self.profile_ns[size]
        return min(replica.bound_ns[size] for replica in self.resident.values())
