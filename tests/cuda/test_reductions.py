"""Reductions over few, long rows, which several blocks split, on an emulated GPU against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact.manifest import Manifest
from converters import device_code
from converters.schedules.cpu.elements import strides_of
from converters.schedules.cuda import reduction, rows, sharing
from converters.schedules.cuda.code import Operand
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.parts import PARTS
from converters.schedules.cuda.reduction import Reduction
from converters.schedules.network.program import Program, Step
from tests.cuda.checks import Case
from tests.cuda.emulator import EmulatedArtifact, needs_emulation

EXACT = 4e-6
SUM = (Step("sum", (0,)),)
CENTRED = (
    Step("sum", (0,)),
    Step("subtract", (0, 1)),
    Step("square", (2,)),
    Step("sum", (3,)),
    Step("multiply", (2, 4)),
)
A100 = Gpu(80, "tf32")


def _problem(shape: tuple[int, ...], axes: tuple[int, ...], steps: tuple[Step, ...]) -> Reduction:
    """The last step is the result."""
    steps = tuple(Step(s.name, s.arguments, axes=axes) if s.name == "sum" else s for s in steps)
    program = Program(shape, (shape,), steps, (len(steps),))
    kept = tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    made = kept if program.is_reduced()[-1] else shape
    operands = (Operand("x", "float32", strides_of(shape, shape)),)
    return Reduction(A100, program, operands, (Operand("y", "float32", strides_of(made, shape)),))


@pytest.mark.parametrize(
    ("shape", "axes", "steps"),
    [
        ((1, 64, 512, 512), (0, 1, 2, 3), SUM),
        ((1, 512, 512, 8), (1, 2), CENTRED),
        ((1, 224, 224, 64), (1, 2), SUM),
        ((1, 1 << 20), (1,), CENTRED),
    ],
)
def test_few_long_rows_fill_the_gpu(
    shape: tuple[int, ...], axes: tuple[int, ...], steps: tuple[Step, ...]
) -> None:
    problem = _problem(shape, axes, steps)
    threads = np.prod(problem.sharing.block)
    source = rows.emit(problem, "", (), "scratch0")
    first, *_, last = source.starts
    assert first.suffix == "_part1"
    assert PARTS[80].multiprocessors <= np.prod(first.grid) <= 8 * PARTS[80].multiprocessors
    assert threads == 256
    # Sums are written once; what has whole rows takes all blocks.
    assert last.grid[1] == (first.grid[1] if problem.writes_rows else 1)
    assert len(source.starts) == 1 + max(problem.levels)
    assert problem.scratch[0] <= 1 << 16


@pytest.mark.parametrize(
    ("shape", "axes", "steps"),
    [
        ((1, 1000), (1,), CENTRED),
        ((128, 768), (1,), CENTRED),
        ((1, 7, 7, 2048), (1, 2), SUM),
        ((512, 70, 512), (1,), CENTRED),
        ((4096, 4096), (1,), CENTRED),
    ],
)
def test_many_or_short_rows_are_one_launch(
    shape: tuple[int, ...], axes: tuple[int, ...], steps: tuple[Step, ...]
) -> None:
    problem = _problem(shape, axes, steps)
    assert (problem.sharing.splits, problem.scratch) == (1, ())
    (start,) = rows.emit(problem, "", (), None).starts
    assert start.suffix == ""


@pytest.mark.parametrize(("channels", "lanes"), [(3, 4), (8, 8), (16, 16), (48, 16), (64, 32), (1000, 32)])
def test_lanes_that_have_no_channel_of_their_own_share_pixels(channels: int, lanes: int) -> None:
    block = _problem((1, 100, channels), (1,), SUM).sharing.block
    assert block == (lanes, 256 // lanes, 1)


@pytest.fixture
def _without_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"")


def _case() -> Case:
    """The shapes that leave a GPU idle, small."""
    case = Case()
    image = case.data("image", 1, 3, 26, 25)
    few = case.conv(image, "few", (3, 8), 1)
    many = case.conv(image, "many", (3, 37), 1)
    scale, shift = case.random("scale", (8,), 1.0), case.random("shift", (8,), 1.0)
    case.show("instance norm", case.op("InstanceNormalization", few, scale, shift))
    case.show("average of few", case.op("GlobalAveragePool", few))
    case.show("average of many", case.op("Relu", case.op("GlobalAveragePool", many)))
    case.show("maximum", case.op("GlobalMaxPool", many))
    every = case.data("every", 1, 4, 30, 31)
    case.show("sum of all", case.op("ReduceSum", every, keepdims=1))
    case.show("norm", case.op("ReduceL2", every, axes=[1, 2, 3], keepdims=0))
    case.show("smallest", case.op("ReduceMin", every, axes=[2], keepdims=0))
    case.show("product", case.op("ReduceProd", case.op("Exp", case.data("p", 1, 700)), axes=[1]))
    long = case.data("long", 2, 3001)
    case.show("softmax", case.op("Softmax", long, axis=-1))
    case.show("log softmax", case.op("LogSoftmax", long, axis=-1))
    case.show("layer norm", case.layer_norm(long, "norm", 3001))
    across = case.data("across", 1, 300, 5)
    case.show("softmax across", case.op("Softmax", across, axis=1))
    centred = case.op("Sub", across, case.op("ReduceMean", across, axes=[1]))
    case.show("mean and rest", centred)
    return case


def _parts(manifest: Manifest) -> set[int]:
    """How many launches the kernels take that have parts."""
    counts = [len(launches) for launches in manifest.launches.values()]
    return {count for count in counts if count > 1}


@needs_emulation
@pytest.mark.parametrize("splits", [0, 2, 5])
def test_split_rows_have_the_results_of_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: int
) -> None:
    """As the model splits them where launches cost nothing (0), or into so many, some without a share."""
    monkeypatch.setattr(sharing, "LAUNCH", 0)
    monkeypatch.setattr(sharing, "ENDS", 0)
    if splits:
        monkeypatch.setattr(
            reduction, "choose_splits", lambda gpu, plain, *_, whole: splits if plain.scratch else 1
        )
    found = _case().differences(tmp_path, monkeypatch, "fp32")
    assert {name: value for name, value in found.items() if value > EXACT} == {}
    assert _parts(Manifest.read(tmp_path / "artifact")) == {2, 3}


@needs_emulation
@pytest.mark.usefixtures("_without_nvcc")
def test_the_variance_of_large_numbers_is_as_good_as_of_whole_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around 10,000 neighbours are 0.001 apart, so a mean is off by about that. (ONNX Runtime: 0.0024.)"""
    numbers = np.random.default_rng(7).standard_normal((2, 8, 50, 50))
    x = (1e4 + numbers).astype(np.float32)
    errors = []
    for splits in (1, 16):
        directory = tmp_path / str(splits)
        directory.mkdir()
        monkeypatch.setattr(reduction, "choose_splits", lambda *given, splits=splits, whole: splits)
        case = Case()
        one, none = case.constant(np.ones(8)), case.constant(np.zeros(8))
        data = case.data("x", *x.shape)
        case.show("norm", case.op("InstanceNormalization", data, one, none, epsilon=1e-5))
        case.converted(directory, "fp32", "sm_80")
        (norm,) = EmulatedArtifact(directory / "artifact").run(1, [x])
        exact = x.astype(np.float64)
        mean, variance = (f(exact, axis=(2, 3), keepdims=True) for f in (np.mean, np.var))
        errors.append(np.abs(norm - (exact - mean) / np.sqrt(variance + 1e-5)).max())
    whole, split = errors
    assert split < 2e-3
    assert split < 1.2 * whole + 1e-6
