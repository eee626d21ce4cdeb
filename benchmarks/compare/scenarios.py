"""What is compared. Every scenario is a piece of a few minutes, with a file of results of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.compare import measure, models
from benchmarks.compare.measure import Sample
from benchmarks.compare.servers import Contender, Homes, Running, serve
from benchmarks.serving import many_models

OURS = "clockwork_triton"
HTTP2 = "--grpc-transport=http2"
# ResNet-50 takes 120 MB.
MEMORY = "--device-memory=1G"
TWO = "--device=cpu:0,cpu:1"
SHARED_MEMORY = ("--shared-memory", "system", "--output-shared-memory-size", "8192")
SLO_MS = 100
MANY, FIT = 40, 10


@dataclass(frozen=True)
class Settings:
    """`rounds` to make, from `first_round` on. `seconds`: of one measurement. `capacity`: answers a second
    that load is counted in; None: measured."""

    scratch: Path
    homes: Homes
    rounds: int
    seconds: float
    factors: Sequence[float]
    capacity: float | None = None
    first_round: int = 0

    @property
    def numbers(self) -> range:
        return range(self.first_round, self.first_round + self.rounds)


Scenario = Callable[[Settings, list[Sample]], None]
"""Adds what it measures to the list, so that what is there counts if it is ended."""


def closed(
    model: str, contenders: Sequence[Contender], concurrencies: Sequence[int], shared: bool
) -> Scenario:
    """Clients that wait for their answers: all servers in turn, round after round. `shared`: with system
    shared memory too, where a server has it."""

    def run(settings: Settings, samples: list[Sample]) -> None:
        repository = settings.scratch / model
        with _all(contenders, repository, settings) as running:
            for server, _ in running:
                measure.closed(server, model, 4, 1.0, settings.scratch)
            for number in settings.numbers:
                for concurrency in concurrencies:
                    for server, contender in running:
                        entry = {"server": server.name, "round": number, "concurrency": concurrency}
                        works = [
                            partial(measure.perf, server, model, concurrency, settings.scratch),
                            partial(
                                measure.closed, server, model, concurrency, settings.seconds, settings.scratch
                            ),
                        ]
                        if shared and contender.kind in ("ours", "triton"):
                            works.append(partial(works[0], *SHARED_MEMORY))
                        for work in works:
                            samples.append(entry | measure.metered([each for each, _ in running], work))
                            _tell(samples[-1:])

    return run


def overload(arrivals: str) -> Scenario:
    """Eight models, every request with 100 ms to live, at loads below and above capacity."""

    def run(settings: Settings, samples: list[Sample]) -> None:
        contenders = [
            Contender(OURS, "ours", (HTTP2, TWO, MEMORY)),
            Contender("Triton", "triton", timeout_ms=SLO_MS),
            Contender("KServe", "kserve"),
            Contender("MLServer", "mlserver"),
        ]
        _overload(settings, samples, settings.scratch / "eight", contenders, arrivals, ())

    return run


def many(settings: Settings, samples: list[Sample]) -> None:
    """Forty models of 16 MiB, few of them popular, of which this server may hold ten; the others hold all, as
    this one does a second time."""
    held = many_models.held_bytes(settings.scratch / "artifacts")
    each = max(size for name, size in held.items() if name.startswith("dense_"))
    memory = f"--device-memory={each * FIT // 2}"
    contenders = [
        Contender(OURS, "ours", (HTTP2, TWO, memory)),
        Contender(f"{OURS}, all in memory", "ours", (HTTP2, TWO, MEMORY)),
        Contender("Triton", "triton", timeout_ms=SLO_MS),
        Contender("KServe", "kserve"),
        Contender("MLServer", "mlserver"),
    ]
    _overload(settings, samples, settings.scratch / "many", contenders, "poisson", ("--zipf", "1.0"))


def _overload(
    settings: Settings,
    samples: list[Sample],
    repository: Path,
    contenders: Sequence[Contender],
    arrivals: str,
    popularity: Sequence[str],
) -> None:
    names = sorted(path.name for path in repository.iterdir())
    with _all(contenders, repository, settings) as running:
        if not samples:
            capacities = {server.name: _capacity(server, names, settings) for server, _ in running}
            memory = {server.name: server.resident_mb() for server, _ in running}
            most = settings.capacity or max(capacities.values())
            samples.append({"capacity": most, "capacities": capacities, "memory_mb": memory})
            _tell(samples)
        capacity = samples[0]["capacity"]
        for number in settings.numbers:
            for factor in settings.factors:
                for server, _ in running:
                    workload = (*_workload(arrivals, factor * capacity, number), *popularity)
                    times = (settings.scratch, settings.seconds, SLO_MS)
                    work = partial(measure.overload, server, names, *times, workload)
                    entry = {"server": server.name, "round": number, "factor": factor}
                    samples.append(entry | measure.metered([each for each, _ in running], work))
                    _tell(samples[-1:])


def _workload(arrivals: str, rate: float, seed: int) -> tuple[str, ...]:
    """The same arrivals for every server. Bursts: half of the time, at twice the rate."""
    if arrivals == "bursty":
        shape = ("--workload", "bursty", "--rate", str(2 * rate), "--on-s", "0.5", "--off-s", "0.5")
    else:
        shape = ("--workload", arrivals, "--rate", str(rate))
    return (*shape, "--seed", str(seed))


def _capacity(server: Running, names: Sequence[str], settings: Settings) -> float:
    """Answers a second to two clients of every model that wait."""
    found = measure.bench(server, settings.scratch, *names, "--concurrency", "2", "--seconds", "4")
    return float(found["total"]["goodput_per_s"])


@contextlib.contextmanager  # type: ignore[arg-type]
def _all(contenders: Sequence[Contender], repository: Path, settings: Settings):  # type: ignore[no-untyped-def]
    """Starts all of them; a server that has nothing to do takes nothing from the one that is measured."""
    with contextlib.ExitStack() as stack:
        running = []
        for contender in contenders:
            begin = time.monotonic()
            server = stack.enter_context(serve(contender, repository, settings.homes, settings.scratch))
            print(f"{contender.name} was ready after {time.monotonic() - begin:.1f} s", flush=True)
            running.append((server, contender))
        yield running


def _tell(samples: Sequence[Sample]) -> None:
    for sample in samples:
        print(
            " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in sample.items() if v),
            flush=True,
        )


TINY = (
    Contender(OURS, "ours", (HTTP2,)),
    Contender(f"{OURS} over grpcio", "ours", ("--grpc-transport=grpcio",)),
    Contender("Triton", "triton"),
    Contender("KServe", "kserve"),
    Contender("MLServer", "mlserver"),
)
IMAGES = (
    Contender(f"{OURS}, 1 worker", "ours", (HTTP2, MEMORY)),
    Contender("Triton, 1 instance", "triton"),
    Contender("KServe", "kserve"),
    Contender("MLServer", "mlserver"),
    Contender(f"{OURS}, 2 workers", "ours", (HTTP2, TWO, MEMORY)),
    Contender("Triton, 2 instances", "triton", instances=2),
)
SCENARIOS: Mapping[str, Scenario] = {
    "tiny": closed("tiny", TINY, (1, 8, 32), False),
    "squeezenet": closed("squeezenet", IMAGES, (1, 8), True),
    "resnet50": closed("resnet50", IMAGES, (1, 8), True),
    "eight-poisson": overload("poisson"),
    "eight-bursty": overload("bursty"),
    "many": many,
}
REPOSITORIES: Mapping[str, Callable[[Path], None]] = {
    **{name: partial(models.write_single, name) for name in ("tiny", "squeezenet", "resnet50")},
    "eight": models.write_eight,
    "many": lambda path: models.write_many(path, MANY),
}
