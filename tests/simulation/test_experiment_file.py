from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.simulation.experiment_file import read_experiment
from clockwork_triton.simulation.toml_table import ExperimentError
from clockwork_triton.simulation.workloads import Bursty, ClosedLoop, FixedSlo, Poisson

FULL = """
duration_s = 2.5
warm_up_s = 0.5
resident = true
seed = 4
about = "an example"

[devices]
count = 3
memory_gib = 1
slots = 4
overlaps = false

[network]
delay_us = 80
jitter_us = 20

[noise]
p99 = 1.3
outlier_every = 1000

[options]
schedule_ahead_ns = 1_000_000

[[models]]
name = "zoo"
profile = "resnet50_v2"
copies = 2
slo_ms = 100

[[models]]
name = "own"
load_ms = 2
infer_ms = {1 = 1.5, 4 = 3}
weights_mib = 17

[[workloads]]
models = ["zoo"]
rate = 100
zipf = 1.0
rows = 2

[[workloads]]
models = ["own"]
kind = "closed-loop"
concurrency = 3

[[workloads]]
kind = "bursty"
rate = 10
on_s = 1
off_s = 2
slo_ms = 7
"""
MODEL = '[[models]]\nname = "m"\nprofile = "resnet50_v2"\n'


def read(folder: Path, text: str) -> None:
    path = folder / "x.toml"
    path.write_text(text)
    read_experiment(path)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(FULL)
    found = read_experiment(path)
    assert (found.name, found.about, found.seed, found.resident) == ("example", "an example", 4, True)
    assert (found.duration_ns, found.warm_up_ns, found.devices) == (2_500_000_000, 500_000_000, 3)
    assert (found.device.pages, found.device.slots, found.device.overlaps) == (64, 4, False)
    assert (found.network.delay_ns, found.network.jitter_ns) == (80_000, 20_000)
    assert found.options.schedule_ahead_ns == 1_000_000
    assert [model.name for model in found.models] == ["zoo_0", "zoo_1", "own"]
    assert found.models[2].estimate.infer_ns == {1: 1_500_000, 4: 3_000_000}
    assert found.models[2].segments == (2,)
    poisson, closed, bursty = found.workloads
    assert isinstance(poisson, Poisson)
    assert (poisson.mix.models, poisson.mix.weights, poisson.rows) == ([0, 1], [1.0, 0.5], 2)
    assert poisson.slo == FixedSlo(100_000_000)
    assert isinstance(closed, ClosedLoop)
    assert (closed.model_id, closed.concurrency, closed.slo) == (2, 3, FixedSlo(None))
    assert isinstance(bursty, Bursty)
    assert (bursty.mix.models, bursty.slo) == ([0, 1, 2], FixedSlo(7_000_000))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = ", "x.toml"),
        ("", r"no \[\[workloads\]\]|no \[\[models\]\]"),
        (MODEL, r"no \[\[workloads\]\]"),
        (MODEL + "[[workloads]]\nrate = 1\ncolour = 2", r"workloads\]\] 1: unknown key 'colour'"),
        (MODEL + "[[workloads]]\nkind = 'steady'", "no kind 'steady'"),
        (MODEL + "[[workloads]]\nmodels = ['n']\nrate = 1", "no model 'n'"),
        (MODEL + "[[workloads]]", "'rate' is missing"),
        (MODEL + "[[workloads]]\nrate = 'many'", "'rate' cannot be 'many'"),
        (MODEL + "[[workloads]]\nrate = 1\nrows = 0", "'rows' must be at least 1"),
        (MODEL + "[[workloads]]\nkind = 'maf1'\nrate = 1\nfile = 'none.csv'", r"none\.csv"),
        (MODEL + MODEL + "[[workloads]]\nrate = 1", "a second 'm'"),
        ('[[models]]\nname = "m"\nprofile = "vgg"', "no profile 'vgg'"),
        ('[[models]]\nname = "m"\nload_ms = 1\nweights_mib = 1\ninfer_ms = {0 = 1}', "batch sizes"),
        (
            '[[models]]\nname = "m"\nload_ms = 1\nweights_mib = 1\ninfer_ms = {one = 1}',
            "'infer_ms' cannot be",
        ),
        ("[options]\nnonsense = 1\n" + MODEL + "[[workloads]]\nrate = 1", "unknown key 'nonsense'"),
        ("duration_s = 0\n" + MODEL + "[[workloads]]\nrate = 1", "'duration_s' must be at least"),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ExperimentError, match=complaint):
        read(tmp_path, text)
