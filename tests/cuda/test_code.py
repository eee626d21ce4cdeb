"""Pieces of CUDA C: the text of indices and numbers, and the functions against their definition."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact.manifest import Launch
from converters import device_code
from converters.schedules.cuda import elements
from converters.schedules.cuda.code import FUNCTIONS, Operand, coordinates, literal, offset, widest
from converters.schedules.cuda.source import NAME, Dim3, Source, Start, as_function, source_of
from converters.schedules.network import arithmetic
from converters.schedules.network.graph import Tensor
from converters.schedules.network.program import Program, Step
from tests.cuda.emulator import Emulator, needs_emulation

PARAMETERS = {"clip": (-0.5, 0.75), "leaky": (0.2,)}
COUNT = 64


@pytest.mark.parametrize("extents", [(7,), (3, 1, 4), (2, 3, 5), (1, 1), (4, 1)])
def test_coordinates_are_those_of_a_contiguous_box(extents: tuple[int, ...]) -> None:
    texts = coordinates("i", extents)
    for i, position in enumerate(product(*map(range, extents))):
        found = [eval(text.replace("/", "//"), {"i": i}) for text in texts]
        assert found == list(position)


def test_an_offset_leaves_out_what_adds_nothing() -> None:
    assert offset(["a", "b", "0", "c"], [12, 1, 3, 0], 5) == "5 + a * 12 + b"
    assert offset(["0"], [4]) == "0"


def test_numbers_are_floats_of_c() -> None:
    assert literal(0.1) == "(0.10000000149011612f)"
    assert [literal(x) for x in (np.inf, -np.inf, np.nan)] == ["INFINITY", "(-INFINITY)", "NAN"]
    assert literal(1e-30) == "(1.0000000031710769e-30f)"


def test_neighbours_are_one_access_where_all_tensors_have_them_side_by_side() -> None:
    plain, across = Operand("a", "float32", (8, 1)), Operand("b", "float32", (1, 4))
    odd, broadcast = Operand("c", "float32", (6, 1)), Operand("d", "float32", (4, 0))
    assert widest([plain], 8, (4, 2)) == 4
    assert widest([plain, broadcast], 8, (4, 2)) == 4
    assert widest([plain, odd], 8, (4, 2)) == 2
    assert widest([plain, across], 8, (4, 2)) == 1
    assert widest([plain], 7, (4, 2)) == 1
    assert widest([Operand("e", "float32", (8, 1), begin=2)], 8, (4, 2)) == 2


def test_a_source_passes_through_a_function_of_tir() -> None:
    source = Source("text", (Start("_sum", (1, 2, 3), (4, 5, 6), 7, (0, 2)),))
    func = as_function(source, [Tensor((2, 3)), Tensor((4,), "int64")])
    assert source_of(func) == source
    assert [tuple(map(int, p.shape)) for p in func.params] == [(2, 3), (4,)]


def test_the_functions_are_those_of_the_definition() -> None:
    assert set(FUNCTIONS) == set(arithmetic.FUNCTIONS)


@needs_emulation
def test_every_function_computes_what_its_definition_does(tmp_path: Path) -> None:
    """One kernel for each, on positive numbers where the other ones have no result."""
    kernels, launches = [device_code.headers()], {}
    for name in FUNCTIONS:
        count = _arguments(name)
        program = Program(
            (COUNT,),
            ((COUNT,),) * count,
            (Step(name, tuple(range(count)), PARAMETERS.get(name, ())),),
            (count,),
        )
        operands = [Operand(f"p{i}", "float32", (1,)) for i in range(count + 1)]
        parameters = [f"const float* p{i}" for i in range(count)] + [f"float* p{count}"]
        source = elements.emit(
            ", ".join(parameters), program, operands[:count], operands[count:], arguments=range(count + 1)
        )
        kernels.append(source.text.replace(NAME, f"{name}_kernel"))
        (start,) = source.starts
        launches[name] = (Launch(f"{name}_kernel", start.grid, start.block, 0, start.arguments), count)
    emulator = Emulator("\n".join(kernels), tmp_path)
    random = np.random.default_rng(1)
    for name, (launch, count) in launches.items():
        low = 0.05 if name in ("log", "sqrt", "rsqrt", "power") else -4.0
        values = [random.uniform(low, 4.0, COUNT).astype(np.float32) for _ in range(count)]
        actual = np.full(COUNT, np.nan, np.float32)
        emulator.launch(launch, [array.ctypes.data for array in (*values, actual)])
        expected = arithmetic.evaluate(name, PARAMETERS.get(name, ()), values)
        np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6, err_msg=name)


def _arguments(name: str) -> int:
    """How many tensors a function takes."""
    two = {"add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "prelu"}
    return 2 if name in two else 1


@needs_emulation
def test_a_wait_or_a_barrier_that_is_missing_shows(tmp_path: Path) -> None:
    """The emulation itself: it must not be kinder than a GPU."""
    text = (
        device_code.headers()
        + """
KERNEL(64) exchange(const float* x, float* y) {
  __shared__ float all[64];
  all[threadIdx.x] = x[threadIdx.x];
  BARRIER
  y[threadIdx.x] = all[63 - threadIdx.x];
}
KERNEL(32) staged(const float* x, float* y) {
  DYNAMIC_SHARED(shared);
  unsigned* words = reinterpret_cast<unsigned*>(shared);
  copy_async<1>(shared_address(words + threadIdx.x), x + threadIdx.x, true);
  copies_commit();
  WAIT
  y[threadIdx.x] = float_of(words[threadIdx.x]);
  copies_arrived<0>();
}
"""
    )
    x = np.arange(64, dtype=np.float32)
    exchange = Launch("exchange", (1, 1, 1), (64, 1, 1), 0, (0, 1))
    staged = Launch("staged", (1, 1, 1), (32, 1, 1), 128, (0, 1))
    for barrier, wait in (("__syncthreads();", "copies_arrived<0>();"), ("", "")):
        source = text.replace("BARRIER", barrier).replace("WAIT", wait)
        whole = barrier != ""
        for reverse in (False, True):
            emulator = Emulator(source, tmp_path, reverse=reverse)
            y = np.full(64, np.nan, np.float32)
            emulator.launch(exchange, [x.ctypes.data, y.ctypes.data])
            assert np.array_equal(y, x[::-1]) is whole
            emulator.launch(staged, [x.ctypes.data, y.ctypes.data])
            assert np.array_equal(y[:32], x[:32]) is whole


@needs_emulation
def test_operands_that_were_not_rounded_end_the_emulation(tmp_path: Path) -> None:
    text = (
        device_code.headers()
        + """
KERNEL(32) product_of_rough_numbers(float* y) {
  float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  const unsigned a[4] = {0x3f800001u, 0u, 0u, 0u}, b[2] = {0u, 0u};
  multiply_tf32(d, a, b);
  y[threadIdx.x] = d[0];
}
"""
    )
    ended = _ended(tmp_path, text, "product_of_rough_numbers", (1, 1, 1), (32, 1, 1), 0)
    assert "multiplies what is not rounded to tf32" in ended


@needs_emulation
@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes", "what"),
    [
        ((1, 65536, 1), (1, 1, 1), 0, "too many blocks"),
        ((1, 1, 65536), (1, 1, 1), 0, "too many blocks"),
        ((1, 1, 1), (1025, 1, 1), 0, "too many threads"),
        ((1, 1, 1), (1, 1, 65), 0, "too many threads"),
        ((1, 1, 1), (1, 1, 1), (227 << 10) + 1, "too much shared memory"),
    ],
)
def test_launches_that_no_gpu_takes_end_the_emulation(
    tmp_path: Path, grid: Dim3, block: Dim3, shared_bytes: int, what: str
) -> None:
    text = device_code.headers() + "\nKERNEL(1) nothing(float* y) {}\n"
    assert what in _ended(tmp_path, text, "nothing", grid, block, shared_bytes)


def _ended(directory: Path, text: str, function: str, grid: Dim3, block: Dim3, shared_bytes: int) -> str:
    """What a process says that ends because of this launch."""
    (directory / "source.cu").write_text(text)
    program = (
        "import sys; from pathlib import Path; import numpy as np;"
        "from clockwork_triton.artifact.manifest import Launch; from tests.cuda.emulator import Emulator;"
        "d = Path(sys.argv[1]); e = Emulator((d / 'source.cu').read_text(), d); y = np.zeros(32, np.float32);"
        f"e.launch(Launch('{function}', {grid}, {block}, {shared_bytes}, (0,)), [y.ctypes.data])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stderr
