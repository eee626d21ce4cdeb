"""The calls of libcuda on a GPU: what the fake driver stands for elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.gpu import kernels
from clockwork_triton.artifact.anonymous import AnonymousMemory
from clockwork_triton.worker.cuda.driver import KernelCall
from clockwork_triton.worker.cuda.libcuda import LibCuda, facts
from tests.gpu.subject import kernel, needs_gpu

pytestmark = needs_gpu

MIB = 1 << 20


@pytest.fixture
def driver() -> Iterator[LibCuda]:
    driver = LibCuda(0)
    yield driver
    driver.close()


def test_a_gpu_says_what_it_is(driver: LibCuda) -> None:
    assert driver.facts == facts(0)
    assert driver.facts.memory_bytes >= driver.available() > 0
    assert len(driver.facts.uuid) == 40


def test_bytes_come_back_as_they_went(driver: LibCuda) -> None:
    there, back = AnonymousMemory(8 * MIB).bytes, AnonymousMemory(8 * MIB).bytes
    there[:] = np.frombuffer(os.urandom(there.nbytes), np.uint8)
    stream, end = driver.stream(1), driver.event()
    address = driver.allocate(there.nbytes)
    for array in (there, back):
        driver.pin(array.ctypes.data, array.nbytes)
    driver.copy_in(address, there.ctypes.data, there.nbytes, stream)
    driver.copy_out(back.ctypes.data, address, back.nbytes, stream)
    driver.record(end, stream)
    while not driver.happened(end):
        pass
    np.testing.assert_array_equal(back, there)
    for array in (there, back):
        driver.unpin(array.ctypes.data)
    driver.free(address)


def test_an_event_that_was_never_recorded_has_happened(driver: LibCuda) -> None:
    """So whoever waits for what he has not begun waits for nothing, and is not told."""
    assert driver.happened(driver.event())


def test_a_graph_runs_its_kernels_in_order_and_can_be_changed(driver: LibCuda) -> None:
    module = driver.load_module(kernel(kernels.ADD, kernels.ADD_SOURCE))
    function = driver.function(module, "add", 0)
    # Each in pages of its own: a page is pinned once.
    host, result = (AnonymousMemory(128).bytes[:128].view(np.float32) for _ in range(2))
    host[:] = np.arange(1, 33)
    stream, end = driver.stream(0), driver.event()
    x, y, z = (driver.allocate(host.nbytes) for _ in range(3))
    for array in (host, result):
        driver.pin(array.ctypes.data, array.nbytes)
    driver.copy_in(x, host.ctypes.data, host.nbytes, stream)

    def call(*arguments: int) -> KernelCall:
        return KernelCall(function, (1, 1, 1), (32, 1, 1), 0, arguments)

    def run(graph: int) -> np.ndarray:
        driver.launch_graph(graph, stream)
        driver.copy_out(result.ctypes.data, z, result.nbytes, stream)
        driver.record(end, stream)
        while not driver.happened(end):
            pass
        return result

    # What is added is the first element, of one array to all of another.
    graph = driver.graph([call(x, x, y), call(y, y, z), call(z, x, z)])
    driver.upload(graph, stream)
    np.testing.assert_array_equal(run(graph), host + 1 + 2 + 1)
    driver.change(graph, 1, [x, y, z])
    np.testing.assert_array_equal(run(graph), host + 2 + 1)
