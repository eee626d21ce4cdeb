"""Which cores each worker gets: near its GPU, and none of which another thread's work slows down."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ANYWHERE: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Cores:
    """Those that this process may use. `siblings`: of each, which others the same physical core is; a core
    that is not named is none but itself."""

    allowed: frozenset[int]
    siblings: Mapping[int, frozenset[int]] = field(default_factory=dict)

    def in_order(self) -> list[int]:
        """One of every physical core first, then the second ones; by number among them."""

        def place(core: int) -> tuple[int, int]:
            others = self.siblings.get(core, ANYWHERE) & self.allowed
            return sum(other < core for other in others), core

        return sorted(self.allowed, key=place)


def read_cores(root: Path = Path("/")) -> Cores:
    """From the system, whose files are below `root`."""
    allowed = frozenset(os.sched_getaffinity(0))
    folder = root / "sys/devices/system/cpu"
    named = {core: _read_list(folder / f"cpu{core}/topology/thread_siblings_list") for core in allowed}
    return Cores(allowed, {core: siblings for core, siblings in named.items() if siblings})


def cores_near(pci_bus_id: str, root: Path = Path("/")) -> frozenset[int]:
    """The cores of the node that a GPU is at; none where the system does not tell. CUDA, NVML
    and the system each write the domain of the bus with as many zeros before it as they like."""
    domain, _, rest = pci_bus_id.lower().partition(":")
    name = f"{domain.lstrip('0').zfill(4)}:{rest}"
    return _read_list(root / "sys/bus/pci/devices" / name / "local_cpulist")


def share(cores: Cores, near: Sequence[frozenset[int]], each: int = 1) -> list[tuple[int, ...]]:
    """Cores of its own for each worker, the first core being the front end's: `each` of them, or one where
    there are too few for that; () where there is none.

    `near`: for each worker the cores that it is to be on as far as they go, none where that does not matter.
    As many workers as cores share one with the front end, rather than with each other, since they have more
    to do.
    """
    order, workers = cores.in_order(), len(near)
    if len(order) < workers * each + 1:
        each = 1
    if 1 < workers == len(order):
        return [(core,) for core in order]
    if len(order) < workers + 1:
        return [(order[1 + i % (len(order) - 1)],) if len(order) > 1 else () for i in range(workers)]
    free, given = order[1:], {}
    # Those to whom it matters choose first.
    for worker in sorted(range(workers), key=lambda worker: not near[worker]):
        here = [core for core in free if core in near[worker]]
        chosen = [*here, *(core for core in free if core not in near[worker])][:each]
        given[worker] = tuple(sorted(chosen))
        free = [core for core in free if core not in chosen]
    return [given[worker] for worker in range(workers)]


def parse_list(text: str) -> frozenset[int]:
    """From the system's form: "0-3,8". Empty for what is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            return ANYWHERE
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def as_list(cores: Iterable[int]) -> str:
    """The other way round."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def _read_list(path: Path) -> frozenset[int]:
    try:
        return parse_list(path.read_text())
    except OSError:
        return ANYWHERE
