"""How long messages between controller and devices take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol


class Ways(Protocol):
    """Nanoseconds that a message takes to a device, and from it. Messages keep their order."""

    def there(self, rng: Random) -> int: ...

    def back(self, rng: Random) -> int: ...


@dataclass(frozen=True)
class Network:
    """`delay_ns` and up to `jitter_ns` more, drawn evenly."""

    delay_ns: int = 0
    jitter_ns: int = 0

    def there(self, rng: Random) -> int:
        return self.delay_ns + int(rng.random() * self.jitter_ns) if self.jitter_ns else self.delay_ns

    back = there


@dataclass(frozen=True)
class RecordedNetwork:
    """Drawn from those measured, of which there is one each at least."""

    there_ns: Sequence[int]
    back_ns: Sequence[int]

    def there(self, rng: Random) -> int:
        return rng.choice(self.there_ns)

    def back(self, rng: Random) -> int:
        return rng.choice(self.back_ns)
