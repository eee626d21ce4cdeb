"""What is simulated, as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec
from clockwork_triton.simulation.device import SimulatedDevice
from clockwork_triton.simulation.loop import Simulation
from clockwork_triton.simulation.network import Network, Ways
from clockwork_triton.simulation.noise import Noise, Timing
from clockwork_triton.simulation.recorder import Recorder
from clockwork_triton.simulation.workloads import Workload
from clockwork_triton.simulation.zoo import V100_PAGES, ZOO

SECOND = 1_000_000_000
Progress = Callable[[int], None]


@dataclass(frozen=True)
class DeviceSpec:
    """Devices of one sort. `pages` of 16 MiB."""

    pages: int = V100_PAGES
    slots: int = 8
    overlaps: bool = True


@dataclass(frozen=True)
class SimulatedModel:
    """`group`: what results are summed up by; the models of an entry that has copies are one group."""

    name: str
    group: str
    estimate: Estimate
    segments: tuple[int, ...]


def zoo_models(
    profile: str, copies: int = 1, name: str = "", sizes: Sequence[int] = ()
) -> list[SimulatedModel]:
    """Copies of a model of the zoo, with all its batch sizes or these."""
    estimate, pages = ZOO[profile]
    if sizes:
        estimate = Estimate(estimate.load_ns, {size: estimate.infer_ns[size] for size in sizes})
    name = name or profile
    names = [name] if copies == 1 else [f"{name}_{index}" for index in range(copies)]
    return [SimulatedModel(each, name, estimate, (pages,)) for each in names]


@dataclass(frozen=True)
class Experiment:
    """`workloads` name models by their place in `models`. `resident`: every device holds every model before
    the first request. The first `warm_up_ns` of the duration are not counted."""

    name: str
    models: Sequence[SimulatedModel]
    workloads: Sequence[Workload]
    duration_ns: int
    devices: int = 1
    device: DeviceSpec = field(default_factory=DeviceSpec)
    warm_up_ns: int = 0
    resident: bool = False
    network: Ways = field(default_factory=Network)
    noise: Timing = field(default_factory=Noise)
    options: Options = field(default_factory=Options)
    seed: int = 0
    series_step_ns: int = 10 * SECOND
    about: str = ""

    def with_devices(self, devices: int) -> Experiment:
        return replace(self, devices=devices)


@dataclass(frozen=True)
class Run:
    """What became of an experiment under a policy."""

    experiment: Experiment
    policy: str
    recorder: Recorder
    devices: Sequence[SimulatedDevice]
    controller_ns: int
    requests: int
    begin_ns: int
    """When the workloads began, on the virtual clock."""


@dataclass
class Runner:
    """Runs experiments. `progress` is told how much virtual time has passed."""

    policy: str
    progress: Progress | None = field(default=None)

    def run(self, experiment: Experiment, recorder: Recorder | None = None) -> Run:
        """`recorder`: where what happens is counted, if it is to be seen beyond that."""
        estimates = {index: model.estimate for index, model in enumerate(experiment.models)}
        # Each device is a kind of its own only where models have to be put on each of them beforehand.
        kinds = [f"v100-{n}" if experiment.resident else "v100" for n in range(experiment.devices)]
        specs = [
            ModelSpec(index, model.name, model.segments, dict.fromkeys(kinds, model.estimate))
            for index, model in enumerate(experiment.models)
        ]
        device = experiment.device
        devices = [
            SimulatedDevice(
                WorkerSpec(n, kind, device.pages, device.slots, device.overlaps),
                experiment.noise.durations(estimates, f"{experiment.seed} device {n}"),
            )
            for n, kind in enumerate(kinds)
        ]
        recorder = recorder or Recorder(experiment.series_step_ns)
        controller = Controller(POLICIES[self.policy](), experiment.options)
        simulation = Simulation(
            controller, devices, specs, recorder, network=experiment.network, seed=experiment.seed
        )
        if experiment.resident:
            simulation.preload(specs, kinds)
        begin_ns = simulation.now_ns
        recorder.start(begin_ns, experiment.warm_up_ns)
        simulation.run(experiment.workloads, experiment.duration_ns, self.progress)
        return Run(
            experiment,
            self.policy,
            recorder,
            devices,
            simulation.controller_ns,
            simulation.requests,
            begin_ns,
        )
