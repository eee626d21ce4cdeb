"""The CUDA device on a fake driver: what is ordered, what overlaps, what is given back, what fails."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.clocks import ClockTracker
from clockwork_triton.worker.cuda.device import RESERVED_BYTES, pages_of
from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.device import DeviceOptions, UnsuitableModel
from tests.worker import tiny
from tests.worker.cuda.bench import PAGES, SLOT_BYTES, SLOTS, Bench, kernels, write
from tests.worker.cuda.fake_driver import Clock, FakeDriver

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny")


@pytest.fixture(params=[True, False], ids=["graphs", "launches"])
def bench(request: pytest.FixtureRequest, artifact: Path) -> Bench:
    """With model 1, not loaded."""
    bench = Bench(graphs=request.param)
    bench.register(1, artifact)
    return bench


def test_results_are_right_at_every_size_slot_and_place(bench: Bench) -> None:
    choose = random.Random(1)
    for _ in range(20):
        pages = choose.sample(range(0, PAGES, 2), 2)
        bench.device.load(1, pages)
        for _ in range(3):
            size, slot = choose.choice(tiny.SIZES), choose.randrange(SLOTS)
            rows = np.float32(choose.random()) * ROWS[:size]
            bench.put(slot, rows)
            if choose.random() < 0.5:
                bench.device.expect(1, size, slot)
            bench.infer(1, size, slot)
            np.testing.assert_array_equal(bench.result(slot, size), tiny.expected(rows))


def test_two_models_do_not_disturb_each_other(bench: Bench, tmp_path: Path) -> None:
    bench.register(2, write(tmp_path / "other"))
    bench.device.load(1, (0, 1))
    bench.device.load(2, (3, 4))
    for model_id in (1, 2, 1):
        bench.put(0, ROWS)
        bench.infer(model_id, 2, 0)
        np.testing.assert_array_equal(bench.result(0, 2), tiny.expected(ROWS))


def test_stages_are_as_long_as_the_gpu_measured_and_follow_each_other(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.put(0, ROWS)
    bench.device.expect(1, 2, 0)
    stages = bench.infer(1, 2, 0)
    copied = [done for done in bench.driver.done if done.what in ("in", "out")][-2:]
    assert stages.input_end_ns - stages.input_begin_ns == copied[0].end_ns - copied[0].begin_ns
    assert stages.output_end_ns - stages.output_begin_ns == copied[1].end_ns - copied[1].begin_ns
    assert stages.end_ns - stages.begin_ns == 2 * bench.driver.launch_ns
    assert stages.input_end_ns <= stages.begin_ns < stages.end_ns <= stages.output_end_ns


def test_the_inputs_of_the_next_infer_arrive_while_this_one_runs(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.put(0, ROWS)
    bench.put(1, ROWS)
    bench.device.expect(1, 1, 0)
    outputs = bench.device.infer(1, 1, 0)
    bench.device.expect(1, 1, 1)
    first = bench.driver.done[-1]
    assert first.what == "in"
    second = bench.device.infer(1, 1, 1)
    executed = [done for done in bench.driver.done if done.what == "shift_1_device"]
    assert first.end_ns <= executed[-1].begin_ns
    outputs.wait()
    second.wait()
    np.testing.assert_array_equal(bench.result(1, 1), tiny.expected(ROWS[:1]))


def test_infer_returns_when_the_kernels_have_run_and_before_the_outputs_are_there(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.put(0, ROWS)
    bench.driver.ns_per_byte = 10_000
    outputs = bench.device.infer(1, 2, 0)
    assert not np.array_equal(bench.result(0, 2), tiny.expected(ROWS))
    outputs.wait()
    np.testing.assert_array_equal(bench.result(0, 2), tiny.expected(ROWS))


def test_inputs_announced_for_another_batch_are_brought_again(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.device.expect(1, 1, 0)
    bench.put(0, ROWS)
    bench.infer(1, 2, 0)
    np.testing.assert_array_equal(bench.result(0, 2), tiny.expected(ROWS))


def test_inputs_announced_again_are_brought_again(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.put(0, -ROWS)
    bench.device.expect(1, 2, 0)
    bench.clock.sleep(1.0)
    bench.driver.settle()
    bench.put(0, ROWS)
    bench.device.expect(1, 2, 0)
    bench.infer(1, 2, 0)
    np.testing.assert_array_equal(bench.result(0, 2), tiny.expected(ROWS))


def test_expecting_nonsense_does_nothing(bench: Bench) -> None:
    before = len(bench.driver.done)
    bench.device.expect(9, 1, 0)
    bench.device.expect(1, 64, 0)
    bench.device.expect(1, 1, SLOTS)
    assert len(bench.driver.done) == before


def test_kernels_copies_in_copies_out_and_weights_have_streams_of_their_own(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.infer(1, 1, 0)
    weights, inputs, kernels_, outputs = (
        {done.stream for done in bench.driver.done if done.what == what and condition(done.size)}
        for what, condition in (
            ("in", lambda size: size >= tiny.SCALE.nbytes and size != 64),
            ("in", lambda size: size == 64),
            ("scale_1_device", lambda size: True),
            ("out", lambda size: True),
        )
    )
    streams = [next(iter(found)) for found in (weights, inputs, kernels_, outputs)]
    assert len(set(streams)) == 4
    priorities = [bench.driver.priorities[stream] for stream in streams]
    assert priorities == [0, 1, 0, 1]


def test_a_graph_learns_only_of_what_moved(artifact: Path) -> None:
    bench = Bench(graphs=True)
    bench.register(1, artifact)
    bench.device.load(1, (0, 1))
    bench.infer(1, 1, 0)
    bench.driver.changes.clear()
    bench.infer(1, 1, 0)
    assert bench.driver.changes == []
    bench.infer(1, 1, 2)
    graph = {graph for graph, _ in bench.driver.changes}
    assert len(graph) == 1
    # The first launch reads the input, the last one writes the output, the one between does neither.
    assert sorted(position for _, position in bench.driver.changes) == [0, 2]


def test_a_change_of_a_graph_that_failed_is_made_again(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fails once, without the device being lost."""
    bench = Bench(graphs=True)
    bench.register(1, artifact)
    change = bench.driver.change
    failed: set[tuple[int, int]] = set()

    def failing(graph: int, position: int, arguments: list[int]) -> None:
        if (graph, position) not in failed:
            failed.add((graph, position))
            raise CudaError("change fails")
        change(graph, position, arguments)

    def insist(call: Callable[[], object]) -> int:
        for failures in itertools.count():
            with suppress(CudaError):
                call()
                return failures
        raise AssertionError

    monkeypatch.setattr(bench.driver, "change", failing)
    assert insist(lambda: bench.device.load(1, (4, 6))) > 1
    failed.clear()
    bench.put(2, ROWS[:1])
    assert insist(lambda: bench.infer(1, 1, 2)) > 1
    assert not bench.device.lost
    np.testing.assert_array_equal(bench.result(2, 1), tiny.expected(ROWS[:1]))
    bench.driver.changes.clear()
    bench.device.load(1, (4, 6))
    assert bench.driver.changes == [], "all is where it should be"


def test_a_variant_of_a_few_launches_needs_no_graph(artifact: Path) -> None:
    bench = Bench(graphs=True)
    bench.register(1, artifact)
    assert [len(calls) for calls in bench.driver.graphs.values()] == [3, 3]


def test_at_most_three_copies_of_a_load_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clockwork_triton.worker.cuda.memory.PIECE_BYTES", 2048)
    bench = Bench()
    bench.register(1, write(tmp_path / "tiny"))
    under_way: list[int] = []
    copy_in = bench.driver.copy_in

    def counting(device: int, host: int, size: int, stream: int) -> None:
        copy_in(device, host, size, stream)
        now_ns = bench.clock()
        under_way.append(sum(done.end_ns > now_ns for done in bench.driver.done if done.what == "in"))

    monkeypatch.setattr(bench.driver, "copy_in", counting)
    stages = bench.device.load(1, (0, 2))
    assert len(under_way) == 4
    assert max(under_way) == 3
    total = tiny.SCALE.nbytes + tiny.PAGE + tiny.SHIFT.nbytes
    assert stages.end_ns - stages.begin_ns >= total * bench.driver.ns_per_byte


def test_graphs_learn_of_new_pages_while_copies_are_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clockwork_triton.worker.cuda.memory.PIECE_BYTES", 2048)
    bench = Bench(graphs=True)
    bench.register(1, write(tmp_path / "tiny"))
    bench.driver.uploads.clear()
    bench.driver.ns_per_byte = 1e5
    changed_before: list[int] = []
    copy_in = bench.driver.copy_in

    def counting(device: int, host: int, size: int, stream: int) -> None:
        changed_before.append(len(bench.driver.changes))
        copy_in(device, host, size, stream)

    monkeypatch.setattr(bench.driver, "copy_in", counting)
    for pages in ((4, 6), (4, 6)):
        bench.device.load(1, pages)
    weights = 4
    changes = len(bench.driver.changes)
    assert changed_before[:weights] == [0, 0, 0, changes], "while the first three were copied"
    assert len(bench.driver.uploads) == len(bench.driver.graphs) > 0, "once for each, and not again"
    bench.put(0, ROWS)
    bench.infer(1, 2, 0)
    np.testing.assert_array_equal(bench.result(0, 2), tiny.expected(ROWS))


def test_the_clock_is_of_interest_while_kernels_run_and_shortly_after(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    assert not bench.device.working()
    seen: list[bool] = []
    happened = bench.driver.happened

    def looking(event: int) -> bool:
        seen.append(bench.device.working())
        return happened(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.driver, "happened", looking)
        bench.infer(1, 1, 0)
    assert seen
    assert all(seen)
    assert bench.device.working()
    bench.clock.sleep(1.0)
    assert not bench.device.working()
    bench.driver.fail("copy_out")
    with pytest.raises(CudaError):
        bench.infer(1, 1, 0)
    bench.clock.sleep(1.0)
    assert not bench.device.working(), "a failure ends it too"


def test_nobody_looks_at_the_clock_of_a_device_that_is_closed() -> None:
    before = set(threading.enumerate())
    bench = Bench(gpu_clock=ClockTracker(Nvml(object()), "0000:17:00.0"))
    (thread,) = set(threading.enumerate()) - before
    bench.device.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_copy_of_inputs_that_failed_is_made_again(bench: Bench) -> None:
    """What was announced before is not what the slot holds now."""
    bench.device.load(1, (0, 1))
    bench.put(0, -ROWS)
    bench.device.expect(1, 2, 0)
    bench.put(0, ROWS)
    bench.driver.fail("record")
    bench.device.expect(1, 2, 0)
    bench.infer(1, 2, 0)
    np.testing.assert_array_equal(bench.result(0, 2), tiny.expected(ROWS))


def test_launches_without_a_graph_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clockwork_triton.worker.cuda.program.WINDOW", 1)
    bench = Bench(graphs=False)
    bench.register(1, write(tmp_path / "tiny"))
    bench.device.load(1, (0, 1))
    queued: list[int] = []
    launch = bench.driver.launch

    def counting(call: object, stream: int) -> None:
        launch(call, stream)  # type: ignore[arg-type]
        queued.append(sum(done.end_ns > bench.clock() for done in bench.driver.done if done.call))

    monkeypatch.setattr(bench.driver, "launch", counting)
    bench.put(0, ROWS)
    bench.infer(1, 1, 0)
    assert len(queued) == 3
    assert max(queued) <= 2
    np.testing.assert_array_equal(bench.result(0, 1), tiny.expected(ROWS[:1]))


def test_serving_allocates_and_loads_nothing(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    for name in ("allocate", "pin", "load_module", "function", "graph", "free"):
        bench.driver.fail(name)
    for number in range(20):
        bench.device.load(1, (number % 4, 5 + number % 4))
        bench.infer(1, 1 + number % 2, number % SLOTS)


def test_everything_is_given_back(bench: Bench) -> None:
    assert bench.driver.modules
    assert len(bench.driver.pinned) == 2
    list(bench.device.unregister(1))
    list(bench.device.unregister(1))
    assert (bench.driver.modules, bench.driver.graphs) == (set(), {})
    assert len(bench.driver.pinned) == 1
    bench.device.close()
    assert (bench.driver.allocated, bench.driver.pinned) == ({}, {})
    assert bench.driver.closed


@pytest.mark.parametrize(
    ("call", "kept"),
    [("free_graph", (1, 0, 0)), ("unload_module", (0, 1, 0)), ("unpin", (0, 0, 1))],
)
def test_what_cannot_be_given_back_keeps_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, kept: tuple[int, int, int]
) -> None:
    monkeypatch.setattr("clockwork_triton.worker.cuda.memory.PIECE_BYTES", 4096)
    bench = Bench(graphs=True)
    bench.register(1, write(tmp_path / "tiny"))
    slots = 1
    assert len(bench.driver.pinned) > 1 + slots
    bench.driver.fail(call)
    list(bench.device.unregister(1))
    driver = bench.driver
    assert (len(driver.graphs), len(driver.modules), len(driver.pinned) - slots) == kept


@pytest.mark.parametrize(("call", "kept"), [("unpin", (0, 1)), ("free", (1, 0))])
def test_a_device_that_cannot_give_something_back_is_closed(
    bench: Bench, call: str, kept: tuple[int, int]
) -> None:
    list(bench.device.unregister(1))
    bench.driver.fail(call)
    bench.device.close()
    assert (len(bench.driver.allocated), len(bench.driver.pinned)) == kept
    assert bench.driver.closed


@pytest.mark.parametrize("call", ["pin", "load_module", "function", "graph"])
def test_a_registration_that_fails_leaves_nothing(artifact: Path, call: str) -> None:
    bench = Bench()
    bench.driver.fail(call)
    with pytest.raises(CudaError, match="fails"):
        bench.register(1, artifact)
    assert bench.device.registered(1) is None
    assert (bench.driver.modules, bench.driver.graphs) == (set(), {})
    assert len(bench.driver.pinned) == 1
    bench.register(1, artifact)
    assert bench.device.registered(1) is not None


@pytest.mark.parametrize(("call", "lost"), [("launch", True), ("copy_out", False), ("happened", True)])
def test_a_failure_is_raised_and_a_lost_device_says_so(bench: Bench, call: str, lost: bool) -> None:
    bench.device.load(1, (0, 1))
    assert not bench.device.lost
    bench.driver.fail(call, lost=lost)
    with pytest.raises(CudaError, match=f"{call} fails"):
        bench.infer(1, 1, 0)
    assert bench.device.lost is lost


@pytest.mark.parametrize("call", ["load_module", "unload_module", "unpin"])
def test_a_device_lost_while_models_come_and_go_says_so(artifact: Path, call: str) -> None:
    bench = Bench()
    bench.driver.fail(call, lost=True)
    with suppress(CudaError):
        bench.register(1, artifact)
        for _ in bench.device.unregister(1):
            pass
    assert bench.device.lost


def test_a_short_file_of_weights_is_refused(artifact: Path) -> None:
    (artifact / "weights.bin").write_bytes(b"short")
    bench = Bench()
    with pytest.raises(ValueError, match="shorter"):
        bench.register(1, artifact)
    assert len(bench.driver.pinned) == 1


def test_device_memory_is_one_arena_one_workspace_and_the_slots(bench: Bench) -> None:
    sizes = sorted(len(memory) for memory in bench.driver.allocated.values())
    assert sizes == sorted([PAGES * tiny.PAGE, tiny.PAGE, SLOTS * SLOT_BYTES])
    assert bench.device.pages == PAGES
    assert bench.device.kind == "cuda-fake-100-4"


def test_memory_that_a_gpu_has_not_is_refused_with_the_sum() -> None:
    driver = FakeDriver(Clock(), kernels(), memory_bytes=RESERVED_BYTES + (1 << 20))
    with pytest.raises(
        OSError, match="the GPU has 513 MiB of memory to spare, which is too little: 1 MiB for weights"
    ):
        Bench(driver=driver, pages=256)
    assert driver.allocated == {}


def test_a_gpu_of_which_nothing_is_said_gives_its_weights_all_that_is_left() -> None:
    rest = 10 * tiny.PAGE
    needed = RESERVED_BYTES + tiny.PAGE + SLOTS * SLOT_BYTES
    driver = FakeDriver(Clock(), kernels(), memory_bytes=needed + rest + 17)
    assert Bench(driver=driver, pages=0).device.pages == 10


def test_a_large_gpu_keeps_more_for_the_code_of_its_models() -> None:
    options = DeviceOptions(0, 1 << 30, 1 << 24, 8, 1 << 26, -1)
    there = 80 << 30
    assert pages_of(options, there) == (there - (1 << 30) - (8 << 26) - int(0.02 * there)) >> 24
    asked = replace(options, memory_bytes=1 << 30)
    assert pages_of(asked, there) == 64


@pytest.mark.parametrize(
    ("arch", "capability", "runs"),
    [
        ("sm_90", (9, 0), True),
        ("sm_80", (8, 6), True),
        ("sm_86", (8, 0), False),
        ("sm_80", (9, 0), False),
        ("sm_90a", (9, 0), True),
        ("sm_90a", (9, 1), False),
        ("sm_120", (12, 0), True),
    ],
)
def test_device_code_runs_on_gpus_of_its_generation_alone(
    tmp_path: Path, arch: str, capability: tuple[int, int], runs: bool
) -> None:
    bench = Bench(driver=FakeDriver(Clock(), kernels(), capability=capability))
    artifact = write(tmp_path / "tiny", gpu_arch=arch)
    if runs:
        bench.register(1, artifact)
        return
    with pytest.raises(UnsuitableModel, match=f"compiled for {arch}, which this GPU"):
        bench.register(1, artifact)


def test_an_artifact_for_the_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableModel, match="--target cuda"):
        Bench().register(1, write(tmp_path / "tiny", gpu_arch=""))


def test_a_wait_sleeps_until_shortly_before_the_end_is_expected(bench: Bench) -> None:
    bench.driver.launch_ns = 5_000_000
    bench.device.load(1, (0, 1))
    bench.infer(1, 2, 0)
    bench.clock.naps.clear()
    stages = bench.infer(1, 2, 0)
    assert stages.end_ns - stages.begin_ns == 10_000_000
    assert sum(bench.clock.naps) == pytest.approx(10e-3 - 150e-6, abs=20e-6), "then it looks without sleeping"


def test_an_infer_after_slow_ones_is_seen_soon_after_its_end(bench: Bench) -> None:
    """Be it that one was held up, or that the GPU's clock was low for a while."""
    bench.device.load(1, (0, 1))

    def seen_late_ns(launch_ns: int) -> int:
        bench.driver.launch_ns = launch_ns
        outputs = bench.device.infer(1, 2, 0)
        late_ns = bench.clock.now_ns - max(done.end_ns for done in bench.driver.done if done.call)
        outputs.wait()
        return late_ns

    seen_late_ns(1_000_000)
    seen_late_ns(20_000_000)
    assert seen_late_ns(1_000_000) < 10_000
    for _ in range(20):
        seen_late_ns(20_000_000)
    assert seen_late_ns(250_000) < 1_000_000
    assert seen_late_ns(250_000) < 10_000


def test_a_wait_that_takes_much_longer_than_expected_leaves_the_core_to_others(bench: Bench) -> None:
    bench.device.load(1, (0, 1))
    bench.infer(1, 2, 0)
    bench.driver.launch_ns = 50_000_000
    bench.clock.naps.clear()
    bench.infer(1, 2, 0)
    assert len(bench.clock.naps) > 100
    assert sum(bench.clock.naps) > 0.9 * 2 * 50e-3
