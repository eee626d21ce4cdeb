"""The resident models of one worker that have requests waiting."""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from clockwork_triton.controller.keys import NEVER

if TYPE_CHECKING:
    from clockwork_triton.controller.replica import Replica

Entry = tuple[int, int, "Replica"]
"""(key, serial number, replica); smallest key first."""


class ReadyPool:
    """One heap for each tier of models, so that a policy can prefer tiers.

    The key of an entry may be smaller than its model's key is now, never larger: whoever meets such an entry
    at the top corrects it. An entry whose key is not its replica's `pooled_key` has been replaced.
    """

    __slots__ = ("tiers",)

    def __init__(self) -> None:
        self.tiers: dict[int, list[Entry]] = {}

    def __bool__(self) -> bool:
        return bool(self.tiers)

    def push(self, replica: Replica, key: int) -> None:
        if key == replica.pooled_key:
            return
        replica.pooled_key = key
        heap = self.tiers.get(replica.model.tier)
        if heap is None:
            heap = self.tiers[replica.model.tier] = []
        heappush(heap, (key, replica.serial, replica))

    def top(self, tier: int) -> Entry | None:
        """The most urgent model of the tier, left in its place; None, and no such tier, if it is empty."""
        heap = self.tiers[tier]
        while heap:
            entry = heap[0]
            key, serial, replica = entry
            if replica.pooled_key != key:
                heappop(heap)
                continue
            model = replica.model
            if not model.queue.entries or not replica.ready:
                self.drop(replica)
                heappop(heap)
            elif model.key > key:
                replica.pooled_key = model.key
                model.pooled_key = max(model.pooled_key, model.key)
                heapreplace(heap, (model.key, serial, replica))
            else:
                return entry
        del self.tiers[tier]
        return None

    def tops(self) -> list[Entry]:
        """The most urgent model of each tier, cheapest tier first."""
        tiers = self.tiers
        found = []
        for tier in sorted(tiers):
            entry = tiers[tier][0]
            key, _, replica = entry
            if replica.pooled_key == key and replica.model.key <= key and replica.ready:
                found.append(entry)
                continue
            corrected = self.top(tier)
            if corrected is not None:
                found.append(corrected)
        return found

    def delay(self, replica: Replica, key: int) -> None:
        """Moves the model back to this larger key; a later request brings it forward again."""
        replica.model.pooled_key = NEVER
        self.push(replica, key)

    def drop(self, replica: Replica) -> None:
        """Takes the model out until a later request brings it back."""
        replica.pooled_key = NEVER
        replica.model.pooled_key = NEVER
