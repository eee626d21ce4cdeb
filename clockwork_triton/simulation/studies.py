"""The paper's experiments, and others worth running, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from clockwork_triton.controller.options import Options
from clockwork_triton.simulation.experiment import SECOND, Experiment, SimulatedModel, zoo_models
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.noise import Noise
from clockwork_triton.simulation.traces import MINUTE_NS, MINUTES_PER_DAY, Counts, Maf1Replay, synthesise_maf1
from clockwork_triton.simulation.workloads import (
    ClosedLoop,
    FixedSlo,
    Mix,
    Poisson,
    RampSlo,
    Workload,
)
from clockwork_triton.simulation.zoo import ZOO

MS = 1_000_000
# What the paper's text calls one time the execution of ResNet50.
UNIT_NS = 2_900_000
RAMP_STEPS = 10
RAMP_FACTOR = 1.5
FUNCTIONS = 20_000
AZURE_NS = 600 * SECOND


@dataclass(frozen=True)
class Choices:
    """What a user may choose; None leaves it to the study. `counts`: a trace instead of a synthetic one."""

    devices: int | None = None
    duration_ns: int | None = None
    seed: int = 0
    counts: Counts | None = None


@dataclass(frozen=True)
class Study:
    """Runs that belong together. `axis` says what the label of a run means."""

    name: str
    about: str
    axis: str
    runs: Sequence[tuple[str, Experiment]]


def slo(choices: Choices) -> Study:
    """Section 6.1: 15 ResNet50 with 16 closed-loop clients each on one device, the SLO from 10 to 500 ms."""
    models = zoo_models("resnet50_v2", 15)
    runs = []
    for slo_ms in (10, 25, 50, 100, 250, 500):
        loops = [ClosedLoop(index, 16, FixedSlo(slo_ms * MS)) for index in range(15)]
        runs.append((str(slo_ms), _experiment("slo", models, loops, choices, 1, 30, about=f"{slo_ms} ms")))
    return Study("slo", _about(slo), "SLO in ms", runs)


def thousands(choices: Choices) -> Study:
    """Section 6.2: 3,600 ResNet50, activated one after the other, share 1,000 r/s beside one at 200 r/s;
    one device, 100 ms."""
    duration_ns = choices.duration_ns or 600 * SECOND
    models = [*zoo_models("resnet50_v2", 3600, "major"), *zoo_models("resnet50_v2", 1, "minor")]
    fixed = FixedSlo(100 * MS)
    # All are active after nine tenths of the run, one a second in the paper's 75 minutes.
    phases = 36
    step_ns = duration_ns * 9 // 10 // phases
    majors = [
        Poisson(
            Mix(range(3600 * (phase + 1) // phases)),
            1000,
            fixed,
            begin_ns=phase * step_ns,
            end_ns=(phase + 1) * step_ns if phase + 1 < phases else None,
        )
        for phase in range(phases)
    ]
    loads = [*majors, Poisson(Mix([3600]), 200, fixed)]
    return Study(
        "thousands", _about(thousands), "", [("", _experiment("thousands", models, loads, choices, 1, 600))]
    )


def how_low(choices: Choices) -> Study:
    """Section 6.3: N ResNet50 at R r/s together on 6 devices; the SLO from 2.9 ms, times 1.5 at each step."""
    runs = []
    for count in (12, 48):
        for rate in (600, 1200, 2400):
            models = zoo_models("resnet50_v2", count)
            ramp = RampSlo(UNIT_NS, RAMP_FACTOR, _ramp_step(choices))
            load = Poisson(Mix(range(count)), rate, ramp)
            runs.append((f"N={count} R={rate}", _ramp("how-low", models, [load], choices)))
    return Study("how-low", _about(how_low), "models and rate", runs)


def isolation(choices: Choices) -> Study:
    """Section 6.4: 6 ResNet50 at 200 r/s each, with the SLO as in how-low, beside closed-loop clients without
    a deadline; 6 devices."""
    runs = []
    for count, concurrency in ((0, 0), (12, 16), (48, 4)):
        models = [*zoo_models("resnet50_v2", 6, "sensitive"), *zoo_models("resnet50_v2", count, "batch")]
        ramp = RampSlo(UNIT_NS, RAMP_FACTOR, _ramp_step(choices))
        loads: list[Workload] = [Poisson(Mix([index]), 200, ramp) for index in range(6)]
        loads += [ClosedLoop(6 + index, concurrency, FixedSlo(None)) for index in range(count)]
        label = f"{count} x {concurrency}" if count else "none"
        runs.append((label, _ramp("isolation", models, loads, choices)))
    return Study("isolation", _about(isolation), "batch models x clients", runs)


def azure(choices: Choices) -> Study:
    """Section 6.5: a trace in MAF1 format at 9,638 r/s on average, 4,026 models, 6 devices, 100 ms."""
    models = zoo_mix(4026, choices.seed)
    counts = choices.counts
    if counts is None:
        minutes = -(-(choices.duration_ns or AZURE_NS) // MINUTE_NS)
        counts = synthesise_maf1(FUNCTIONS, choices.seed, min(minutes, MINUTES_PER_DAY))
    load = Maf1Replay(counts, range(len(models)), 9638, FixedSlo(100 * MS))
    return Study(
        "azure",
        _about(azure),
        "",
        [("", _experiment("azure", models, [load], choices, 6, AZURE_NS // SECOND))],
    )


def scale(choices: Choices) -> Study:
    """Section 6.6: 10 to 150 devices with batches up to 8, twice the load they can bear, 100 ms."""
    runs = []
    for devices in (10, 50, 100, 150):
        models = zoo_mix(40 * devices, choices.seed, sizes=(1, 2, 4, 8))
        load = Poisson(Mix(range(len(models))), 800 * devices, FixedSlo(100 * MS))
        experiment = _experiment("scale", models, [load], choices, devices, 5)
        runs.append((str(devices), experiment.with_devices(devices)))
    return Study("scale", _about(scale), "devices", runs)


def noise(choices: Choices) -> Study:
    """Durations as profiled, and with the 99th percentile at 1.3 times the median and one in 10,000 ten times
    as long: 12 ResNet50 on 6 devices, 25 and 100 ms, just below saturation and at one and a half times it."""
    runs = []
    for slo_ms, rate in ((25, 2700), (25, 6000), (100, 3600), (100, 6000)):
        for label, drawn in (("exact", Noise()), ("noisy", Noise(1.3, 10_000))):
            load = Poisson(Mix(range(12)), rate, FixedSlo(slo_ms * MS))
            experiment = _experiment(
                "noise", zoo_models("resnet50_v2", 12), [load], choices, 6, 60, noise=drawn, warm_up_s=2
            )
            runs.append((f"{slo_ms} ms, {rate} r/s, {label}", experiment))
    return Study("noise", _about(noise), "SLO, rate, durations", runs)


STUDIES: Mapping[str, Callable[[Choices], Study]] = {
    "slo": slo,
    "thousands": thousands,
    "how-low": how_low,
    "isolation": isolation,
    "azure": azure,
    "scale": scale,
    "noise": noise,
}


def zoo_mix(count: int, seed: int, sizes: Sequence[int] = ()) -> list[SimulatedModel]:
    """So many models of all published profiles, in an order that has nothing to do with the profile."""
    profiles = [name for index, name in zip(range(count), _cycle(list(ZOO)), strict=False)]
    Random(f"mix {seed}").shuffle(profiles)
    models = []
    for index, profile in enumerate(profiles):
        (model,) = zoo_models(profile, 1, sizes=sizes)
        models.append(SimulatedModel(f"{profile}_{index}", profile, model.estimate, model.segments))
    return models


def _cycle(names: list[str]) -> list[str]:
    return names * (10_000 // len(names) + 1)


def _experiment(
    name: str,
    models: Sequence[SimulatedModel],
    workloads: Sequence[Workload],
    choices: Choices,
    devices: int,
    seconds: int,
    *,
    noise: Noise | None = None,
    warm_up_s: int = 0,
    about: str = "",
) -> Experiment:
    return Experiment(
        name,
        models,
        workloads,
        choices.duration_ns or seconds * SECOND,
        devices=choices.devices or devices,
        seed=choices.seed,
        noise=noise or Noise(),
        warm_up_ns=warm_up_s * SECOND,
        network=Network(50_000),
        options=Options(),
        about=about,
    )


def _ramp(
    name: str, models: Sequence[SimulatedModel], workloads: Sequence[Workload], choices: Choices
) -> Experiment:
    step_ns = _ramp_step(choices)
    return Experiment(
        name,
        models,
        workloads,
        step_ns * RAMP_STEPS,
        devices=choices.devices or 6,
        seed=choices.seed,
        series_step_ns=step_ns,
        network=Network(50_000),
        resident=True,
    )


def _ramp_step(choices: Choices) -> int:
    return (choices.duration_ns or 100 * SECOND) // RAMP_STEPS


def _about(study: Callable[[Choices], Study]) -> str:
    return " ".join((study.__doc__ or "").split())
