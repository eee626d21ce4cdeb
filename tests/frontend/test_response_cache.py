from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.request import InferRequest, InputTensor
from clockwork_triton.frontend.response_cache import Key, Outputs, ResponseCache, key_of
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.inference import InferenceCall
from clockwork_triton.telemetry.statistics import Statistics
from tests.compatibility import covers
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, simple


def call(*inputs: Any, model_id: int = 1, rows: int = 1) -> InferenceCall:
    return InferenceCall(model_id, rows, inputs, 0, None)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 900)), max_size=40))
def test_the_cache_never_holds_more_than_its_limit(inserted: list[tuple[int, int]]) -> None:
    cache = ResponseCache(2000)
    for number, size in inserted:
        cache.insert(Key(number, 1, b""), Outputs((bytes(size),)))
        assert cache.used_bytes <= 2000
        assert (len(cache) == 0) == (cache.used_bytes == 0)


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    cache = ResponseCache(3 * 356)
    for number in range(3):
        cache.insert(Key(number, 1, b""), Outputs((bytes(100),)))
    assert cache.find(Key(0, 1, b"")) == Outputs((bytes(100),))
    cache.insert(Key(3, 1, b""), Outputs((bytes(100),)))
    assert [cache.find(Key(number, 1, b"")) is None for number in range(4)] == [False, True, False, False]
    cache.insert(Key(9, 1, b""), Outputs((bytes(10_000),)))
    assert cache.find(Key(9, 1, b"")) is None


def test_keys_tell_calls_apart(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"ab")
    memory = SharedMemory(True, tmp_path)
    memory.register("r", "object", 0, 2)
    same = [call(b"ab", b"c"), call(memoryview(b"ab"), b"c"), call(memory.take("r", 0, 2), b"c")]
    assert len({key_of(each) for each in same}) == 1
    others = [call(b"a", b"bc"), call(b"abc"), call(b"ab", b"c", model_id=2), call(b"ab", b"c", rows=2)]
    assert len({key_of(each) for each in (*same, *others)}) == 5


def plane(engine: FakeEngine, **options: Any) -> tuple[DataPlane, Statistics]:
    statistics = Statistics()
    model = simple(**options)
    cache = ResponseCache(1 << 20)
    return DataPlane(FakeIndex([model]), engine, statistics, FakeClock(), cache=cache), statistics


async def infer(plane: DataPlane, first: int = 0) -> Any:
    data = np.arange(first, first + 16, dtype=np.int32).tobytes()
    inputs = [InputTensor(f"INPUT{i}", "INT32", (1, 16), data) for i in (0, 1)]
    return await plane.infer("simple", "", lambda: InferRequest(inputs, id="7"), 1_000_000_000)


@covers("response cache, --cache-config local")
def test_a_request_that_comes_again_is_answered_without_the_engine() -> None:
    async def test() -> None:
        engine = FakeEngine()
        cached, statistics = plane(engine, cached=True)
        first, again, other = await infer(cached), await infer(cached), await infer(cached, 1)
        assert first.data == again.data != other.data
        assert again.id == "7"
        assert len(engine.calls) == 2
        counted = statistics.of("simple", 1)
        assert (counted.cache_hit.count, counted.cache_miss.count) == (1, 2)
        assert (counted.success.count, counted.queue.count) == (3, 3)
        assert counted.compute_infer.count == counted.inference_count == counted.execution_count == 2

    run(test())


def test_models_that_do_not_ask_for_it_are_not_cached() -> None:
    async def test() -> None:
        engine = FakeEngine()
        uncached, statistics = plane(engine)
        await infer(uncached)
        await infer(uncached)
        assert len(engine.calls) == 2
        assert statistics.of("simple", 1).cache_miss.count == 0

    run(test())


def test_failures_are_not_kept() -> None:
    async def test() -> None:
        engine = FakeEngine()
        cached, _ = plane(engine, cached=True)
        engine.error = ServerError(Code.INTERNAL, "device")
        with pytest.raises(ServerError):
            await infer(cached)
        engine.error = None
        await infer(cached)
        assert len(engine.calls) == 2

    run(test())
