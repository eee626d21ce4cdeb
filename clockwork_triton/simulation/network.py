"""How long messages between controller and devices take."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from clockwork_triton.simulation.moments import Moments


class Ways(Protocol):
    """Nanoseconds that a message takes to a device, and from it. Messages keep their order."""

    def there(self, rng: Random, now_ns: int) -> int: ...

    def back(self, rng: Random, now_ns: int) -> int: ...


@dataclass(frozen=True)
class Network:
    """`delay_ns` and up to `jitter_ns` more, drawn evenly."""

    delay_ns: int = 0
    jitter_ns: int = 0

    def there(self, rng: Random, now_ns: int) -> int:
        return self.delay_ns + int(rng.random() * self.jitter_ns) if self.jitter_ns else self.delay_ns

    back = there


@dataclass(frozen=True)
class RecordedNetwork:
    """Drawn from those measured about that time."""

    there_ns: Moments
    back_ns: Moments

    def there(self, rng: Random, now_ns: int) -> int:
        return self.there_ns.draw(rng, now_ns)

    def back(self, rng: Random, now_ns: int) -> int:
        return self.back_ns.draw(rng, now_ns)
