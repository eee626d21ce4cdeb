"""The calls of libcuda, made to a library without a GPU that is compiled against the toolkit's own header."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from clockwork_triton.worker.cuda import libcuda, symbols
from clockwork_triton.worker.cuda.driver import CudaError, GpuFacts, KernelCall
from clockwork_triton.worker.cuda.libcuda import LibCuda
from tests.worker.cuda.fake_library import build, needs_fake_library

pytestmark = needs_fake_library

ALLOCATIONS, PINS, MODULES, GRAPHS, UPLOADS, CONTEXTS = range(6)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = build(tmp_path_factory.mktemp("driver"))
    loaded = ctypes.CDLL(str(path))
    loaded.fake_shared_limit.restype = ctypes.c_size_t
    loaded.fake_priority.argtypes = (ctypes.c_void_p,)
    loaded.path = str(path)
    return loaded


@pytest.fixture
def driver(library: Any) -> Iterator[LibCuda]:
    driver = LibCuda(1, library.path)
    yield driver
    driver.close()
    assert library.fake_live(CONTEXTS) == 0


def test_what_the_gpu_says_of_itself(driver: LibCuda) -> None:
    uuid = "GPU-00112233-4455-6677-8899-aabbccddeeff"
    assert driver.facts == GpuFacts(
        "NVIDIA Fake", (9, 0), 1 << 33, 7, "0000:01:00.0", uuid, 227 << 10, (13, 1)
    )


def test_gpus_are_counted_and_others_refused(library: Any) -> None:
    assert libcuda.count(library.path) == 2
    with pytest.raises(CudaError, match="there is no GPU 2: this machine has 2"):
        LibCuda(2, library.path)


def test_no_driver_is_said() -> None:
    with pytest.raises(CudaError, match="there is no CUDA driver here"):
        libcuda.count("libcuda-of-nowhere.so")


def test_memory_goes_there_and_back(driver: LibCuda, library: Any) -> None:
    there = np.arange(1000, dtype=np.float32)
    back = np.zeros_like(there)
    stream = driver.stream(1)
    assert library.fake_priority(stream) == -1
    assert library.fake_priority(driver.stream(0)) == 0
    assert library.fake_priority(driver.stream(7)) == -1
    address = driver.allocate(there.nbytes)
    driver.pin(there.ctypes.data, there.nbytes)
    assert driver.available() == (1 << 33) - 1
    assert (library.fake_live(ALLOCATIONS), library.fake_live(PINS)) == (1, 1)
    driver.copy_in(address, there.ctypes.data, there.nbytes, stream)
    driver.copy_out(back.ctypes.data, address, back.nbytes, stream)
    np.testing.assert_array_equal(back, there)
    driver.unpin(there.ctypes.data)
    driver.free(address)
    assert (library.fake_live(ALLOCATIONS), library.fake_live(PINS)) == (0, 0)


def test_events_happen_and_are_apart(driver: LibCuda) -> None:
    stream, begin, end = driver.stream(0), driver.event(), driver.event()
    assert driver.happened(begin), "as ever with one that was not recorded"
    driver.record(begin, stream)
    driver.record(end, stream)
    driver.wait(stream, end)
    assert driver.happened(end)
    assert driver.elapsed_ns(begin, end) == 1_000_000


def test_any_thread_may_ask_for_events(driver: LibCuda) -> None:
    """The context is current in the thread that opened it, and in others once they have entered it."""
    stream, begin, end = driver.stream(0), driver.event(), driver.event()
    driver.record(begin, stream)
    driver.record(end, stream)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(driver.elapsed_ns, begin, end).result() == 1_000_000
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(driver.happened, end).result()


def _call(driver: LibCuda, module: int, arguments: tuple[int, ...]) -> KernelCall:
    return KernelCall(driver.function(module, "add", 0), (2, 1, 1), (4, 1, 1), 0, arguments)


def test_kernels_are_launched_one_by_one_and_as_a_graph_that_can_change(
    driver: LibCuda, library: Any
) -> None:
    stream = driver.stream(0)
    module = driver.load_module(b"\x7fELF")
    x, by, y, z = (np.full(8, value, np.float32) for value in (1, 10, 0, 0))
    first = _call(driver, module, (x.ctypes.data, by.ctypes.data, y.ctypes.data))
    second = _call(driver, module, (y.ctypes.data, by.ctypes.data, z.ctypes.data))
    driver.launch(first, stream)
    assert (y == 11).all()
    y[:] = 0
    graph = driver.graph([first, second])
    driver.upload(graph, stream)
    assert (library.fake_live(GRAPHS), library.fake_live(UPLOADS)) == (1, 1)
    assert (z == 0).all()
    driver.launch_graph(graph, stream)
    assert (z == 21).all()
    driver.change(graph, 1, [x.ctypes.data, by.ctypes.data, z.ctypes.data])
    driver.launch_graph(graph, stream)
    assert (z == 11).all()
    driver.free_graph(graph)
    driver.unload_module(module)
    assert (library.fake_live(GRAPHS), library.fake_live(MODULES)) == (0, 0)


def test_much_shared_memory_is_asked_for(driver: LibCuda, library: Any) -> None:
    module = driver.load_module(b"\x7fELF")
    driver.function(module, "add", 48 << 10)
    assert library.fake_shared_limit() == 0
    driver.function(module, "add", 100 << 10)
    assert library.fake_shared_limit() == 100 << 10
    driver.unload_module(module)


@pytest.mark.parametrize(
    ("status", "lost"),
    [
        (2, False),
        (700, True),
        (719, True),
        (214, True),
        (500, False),
        (701, False),
        (712, False),
        (721, True),
        (911, True),
    ],
)
def test_errors_have_names_and_some_end_it_all(
    driver: LibCuda, library: Any, monkeypatch: pytest.MonkeyPatch, status: int, lost: bool
) -> None:
    monkeypatch.setattr(driver._cuda, "lost", False)
    library.fake_fail(b"cuMemAlloc_v2", status)
    with pytest.raises(CudaError, match=rf"cuMemAlloc_v2: .* \({status}\)") as caught:
        driver.allocate(1 << 40)
    assert caught.value.lost is driver.lost is lost


def test_a_failed_kernel_shows_when_its_event_is_asked_for(driver: LibCuda, library: Any) -> None:
    event = driver.event()
    library.fake_fail(b"cuEventQuery", 700)
    with pytest.raises(CudaError, match="cuEventQuery") as caught:
        driver.happened(event)
    assert caught.value.lost


def test_a_driver_without_a_call_is_too_old(driver: LibCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(symbols.PROTOTYPES, "cuFromTheFuture", ())
    with pytest.raises(CudaError, match="too old: it has no cuFromTheFuture"):
        driver._cuda.cuFromTheFuture()
