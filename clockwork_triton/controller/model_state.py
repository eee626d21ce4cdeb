"""What the controller keeps of one model."""

from __future__ import annotations

from bisect import bisect_left
from math import floor, log2
from operator import attrgetter
from typing import TYPE_CHECKING

from clockwork_triton.controller.keys import FAR, NEVER
from clockwork_triton.controller.request_queue import RequestQueue
from clockwork_triton.controller.specs import ModelSpec

if TYPE_CHECKING:
    from clockwork_triton.controller.replica import Replica
    from clockwork_triton.controller.worker_state import WorkerState

# Models whose cost of a row differs by less than this part of a factor of two are of one tier.
TIERS_PER_DOUBLING = 2

# A gap between requests counts for this power of a half in the usual gap.
GAP_SHIFT = 3

# How long requests of a model must have been refused before its estimates are doubted.
PROBE_GAP_NS = 1_000_000_000


class ModelState:
    """`sizes`: its batch sizes, ascending; durations by batch size are lists in this order.

    `resident`, `loading`: its replicas in that state, by worker id; `holders`: the workers that hold it, and
    `mask` their bits. `able_mask`: the bits of those that could hold it; `too_large`: there are none, for
    want of memory alone; both as of the generation `judged` of workers.
    `typical_ns`: how long a batch takes, as last learnt; `row_ns`: a row in the best of them; `fastest_ns`:
    how long on the fastest worker that holds it, with a margin. `fill`: by number of rows, the largest size
    that they fill; `holds`: the smallest that holds them. `tier`: models that need about the same time for a
    row, cheapest first. `departed`: how many requests have left its queue. `expiry_ns`: the moment of the
    timer that looks for requests of it that have become hopeless. `key`: how urgent it is; `pooled_key`: no
    entry of it in a pool is larger. `unserved_ns`: the work waiting that the workers which hold it cannot do
    in time. `warmth`: see the policy. `active_ns`: when a request of it last arrived; `missed_ns`: when one
    was last refused only because the model was not loaded. `probe_ns`: when the next refusal is a reason to
    doubt its estimates, None if none was refused yet; `probe_gap_ns`: how long none is after that. `gap_ns`:
    the time between its requests with a deadline, of which the last arrived at `arrived_ns`. `crashes`: how
    often in a row it may have ended its worker; until `barred_ns` it is not run for that."""

    __slots__ = (
        "able_mask",
        "active_ns",
        "arrived_ns",
        "barred_ns",
        "crashes",
        "departed",
        "expiry_ns",
        "fastest_load_ns",
        "fastest_ns",
        "fill",
        "gap_ns",
        "holders",
        "holds",
        "in_flight",
        "judged",
        "key",
        "load_errors",
        "loading",
        "mask",
        "missed_ns",
        "model_id",
        "pooled_key",
        "probe_gap_ns",
        "probe_ns",
        "queue",
        "resident",
        "retired",
        "row_ns",
        "serial",
        "sizes",
        "spec",
        "tier",
        "too_large",
        "typical_ns",
        "unloading",
        "unserved_ns",
        "warmth",
    )

    def __init__(self, spec: ModelSpec, serial: int) -> None:
        self.model_id = spec.model_id
        self.serial = serial
        self.queue = RequestQueue()
        self.resident: dict[int, Replica] = {}
        self.loading: dict[int, Replica] = {}
        self.mask = 0
        self.holders: list[WorkerState] = []
        self.unloading = 0
        self.in_flight = 0
        self.retired = False
        self.load_errors = 0
        self.crashes = 0
        self.barred_ns = 0
        self.departed = 0
        self.key = NEVER
        self.pooled_key = NEVER
        self.expiry_ns = FAR
        self.unserved_ns = 0
        self.missed_ns = -FAR
        self.warmth = 0.0
        self.active_ns = -FAR
        self.arrived_ns = -FAR
        self.gap_ns = FAR
        self.probe_ns: int | None = None
        self.probe_gap_ns = PROBE_GAP_NS
        self.renew(spec)

    def renew(self, spec: ModelSpec) -> None:
        """Takes new estimates."""
        self.spec = spec
        self.judged = -1
        self.able_mask = 0
        self.too_large = False
        kinds = list(spec.estimates.values())
        sizes = set.intersection(*[set(kind.infer_ns) for kind in kinds]) if kinds else set()
        self.sizes = tuple(sorted(sizes))
        self.typical_ns = [min(kind.infer_ns[size] for kind in kinds) for size in self.sizes]
        self.fastest_ns = list(self.typical_ns)
        self.fastest_load_ns = min((kind.load_ns for kind in kinds), default=0)
        self._find_least()
        self.fill = self._fill_table()
        self.holds = [bisect_left(self.sizes, rows) for rows in range(self.sizes[-1] + 1 if sizes else 0)]
        per_row = [ns / size for ns, size in zip(self.typical_ns, self.sizes, strict=True)]
        self.tier = floor(TIERS_PER_DOUBLING * log2(max(1.0, min(per_row)))) if per_row else 0
        for _, _, _, pending in self.queue.entries:
            pending.size = self.size_for(pending.rows) or 0

    def size_for(self, rows: int) -> int | None:
        """The index of the smallest batch size that holds this many rows."""
        return self.holds[rows] if rows < len(self.holds) else None

    def filled_by(self, rows: int) -> int:
        """The index of the largest batch size that this many rows fill, or the smallest size."""
        return self.fill[rows] if rows < len(self.fill) else len(self.sizes) - 1

    def learn(self, size: int, duration_ns: int) -> None:
        """A batch of this size has been found to take so long."""
        if duration_ns != self.typical_ns[size]:
            self.typical_ns[size] = duration_ns
            self._find_least()

    def _find_least(self) -> None:
        times = zip(self.typical_ns, self.sizes, strict=True)
        self.row_ns = min([duration_ns // size for duration_ns, size in times], default=0)

    def arrived(self, now_ns: int) -> None:
        """A request with a deadline has come."""
        gap_ns = now_ns - self.arrived_ns
        self.arrived_ns = now_ns
        known = self.gap_ns < FAR
        self.gap_ns = self.gap_ns + ((gap_ns - self.gap_ns) >> GAP_SHIFT) if known else gap_ns

    def bound_changed(self, replica: Replica, size: int, old_ns: int) -> None:
        """A replica takes another time for this batch size than before; of no account if it is not there and
        others are."""
        new_ns = replica.bound_ns[size]
        if self.resident and self.resident.get(replica.worker.worker_id) is not replica:
            return
        if new_ns < self.fastest_ns[size]:
            self.fastest_ns[size] = new_ns
        elif old_ns == self.fastest_ns[size]:
            self.fastest_ns[size] = min(
                [replica.bound_ns[size] for replica in self.resident.values()], default=new_ns
            )

    def holders_changed(self) -> None:
        """The model has come to, or left, a worker."""
        self.holders = sorted([replica.worker for replica in self.resident.values()], key=attrgetter("bit"))
        self.mask = 0
        for worker in self.holders:
            self.mask |= worker.bit
        if self.resident:
            self.fastest_ns = [min(times) for times in zip(*self._bounds(), strict=True)]

    def some_holders(self, most: int, start: int) -> list[WorkerState]:
        """At most `most` of the workers that hold it, beginning anywhere (`start`) and going round."""
        holders = self.holders
        count = len(holders)
        if count == 1:
            return holders
        first = start % count
        return (holders[first:] + holders[:first])[:most]

    def _bounds(self) -> list[list[int]]:
        return [replica.bound_ns for replica in self.resident.values()]

    def _fill_table(self) -> list[int]:
        table = []
        index = 0
        for rows in range(self.sizes[-1] if self.sizes else 0):
            while index + 1 < len(self.sizes) and self.sizes[index + 1] <= rows:
                index += 1
            table.append(index)
        return table
