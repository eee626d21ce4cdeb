"""Experiments described in TOML.

duration_s = 60
warm_up_s = 5              # not counted
resident = false           # every device holds every model from the start
seed = 1

[devices]
count = 2
memory_gib = 21.5          # of weights; or pages
slots = 8                  # INFERs outstanding at most
overlaps = true            # LOADs run beside INFERs

[network]
delay_us = 50
jitter_us = 20

[noise]
p99 = 1.3                  # of the median
outlier_every = 10000
outlier_factor = 10

[options]                  # of the controller; see controller/options.py
buffer_ns = 1_000_000

[[models]]
name = "resnet"
profile = "resnet50_v2"    # of the zoo; or load_ms, infer_ms = {1 = 3.3, 8 = 12.4} and weights_mib
copies = 4
slo_ms = 100               # what workloads of it take if they name none; 0: no deadline

[[workloads]]              # see workload_file.py
models = ["resnet"]
kind = "poisson"
rate = 500
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

from clockwork_triton.controller.options import Options
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.simulation.experiment import DeviceSpec, Experiment, SimulatedModel, zoo_models
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.noise import Noise
from clockwork_triton.simulation.toml_table import ExperimentError, Table
from clockwork_triton.simulation.workload_file import read_slo, read_workloads
from clockwork_triton.simulation.zoo import PAGE_BYTES, V100_PAGES, ZOO

MS = 1_000_000
SECOND = 1_000_000_000


def read_experiment(path: Path) -> Experiment:
    """ExperimentError if the file cannot be read as an experiment."""
    try:
        table = Table(path.name, tomllib.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path}: {error}") from None
    models, slos = _models(table)
    workloads = [
        workload
        for each in table.tables("workloads")
        for workload in read_workloads(each, models, slos, path.parent)
    ]
    if not workloads:
        raise table.fail("no [[workloads]]")
    devices = table.table("devices")
    network = table.table("network")
    noise = table.table("noise")
    experiment = Experiment(
        path.stem,
        models,
        workloads,
        round(table.number("duration_s", 60, 0.001) * SECOND),
        devices=devices.whole("count", 1, 1),
        device=_device(devices),
        warm_up_ns=round(table.number("warm_up_s", 0) * SECOND),
        resident=table.get("resident", bool, False),
        network=Network(
            round(network.number("delay_us", 50) * 1000), round(network.number("jitter_us", 0) * 1000)
        ),
        noise=Noise(
            noise.number("p99", 1.0, 1.0),
            noise.whole("outlier_every", 0),
            noise.number("outlier_factor", 10.0, 1.0),
        ),
        options=_options(table.table("options")),
        seed=table.whole("seed", 0),
        about=table.get("about", str, ""),
    )
    for each in (devices, network, noise, table):
        each.done()
    return experiment


def _device(table: Table) -> DeviceSpec:
    if table.has("memory_gib"):
        pages = int(table.number("memory_gib") * 2**30) // PAGE_BYTES
    else:
        pages = table.whole("pages", V100_PAGES, 1)
    return DeviceSpec(pages, table.whole("slots", 8, 1), table.get("overlaps", bool, True))


def _options(table: Table) -> Options:
    known = {field.name: field.default for field in fields(Options)}
    given = {name: table.get(name, (int, float)) for name in known if table.has(name)}
    table.done()
    return Options(**given)


def _models(table: Table) -> tuple[list[SimulatedModel], dict[str, int | None]]:
    models: list[SimulatedModel] = []
    slos: dict[str, int | None] = {}
    for entry in table.tables("models"):
        name = entry.get("name", str)
        if name in slos:
            raise entry.fail(f"a second '{name}'")
        copies = entry.whole("copies", 1, 1)
        slos[name] = read_slo(entry, 0)
        if entry.has("profile"):
            profile = entry.get("profile", str)
            if profile not in ZOO:
                raise entry.fail(f"no profile '{profile}'; there are {', '.join(sorted(ZOO))}")
            models += zoo_models(profile, copies, name)
        else:
            estimate, pages = _profile(entry)
            models += [
                SimulatedModel(name if copies == 1 else f"{name}_{n}", name, estimate, (pages,))
                for n in range(copies)
            ]
        entry.done()
    if not models:
        raise table.fail("no [[models]]")
    return models, slos


def _profile(entry: Table) -> tuple[Estimate, int]:
    infer = entry.get("infer_ms", dict)
    try:
        infer_ns = {int(size): round(float(ms) * MS) for size, ms in infer.items()}
    except (TypeError, ValueError):
        raise entry.fail(f"'infer_ms' cannot be {infer!r}") from None
    if not infer_ns or min(infer_ns) < 1 or min(infer_ns.values()) < 1:
        raise entry.fail("'infer_ms' needs batch sizes and durations above 0")
    pages = -int(-entry.number("weights_mib") * 2**20 // PAGE_BYTES)
    return Estimate(round(entry.number("load_ms") * MS), infer_ns), max(1, pages)
