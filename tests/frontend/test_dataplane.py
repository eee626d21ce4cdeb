from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.request import InferRequest, InferResponse, InputTensor
from clockwork_triton.inference import InferenceCall
from clockwork_triton.repository.model import IndexEntry, ServedModel, State
from clockwork_triton.telemetry.statistics import Failure, ModelStatistics, Statistics
from tests.compatibility import covers
from tests.frontend.fakes import LEVELS, FakeClock, FakeEngine, FakeIndex, run, simple

LATE = "Request timeout expired"


class Bench:
    def __init__(self, *models: ServedModel, held: bool = False, **options: Any) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine(held=held)
        self.index = FakeIndex(list(models or [simple()]))
        self.counters = Statistics()
        self.plane = DataPlane(self.index, self.engine, self.counters, self.clock, **options)

    @property
    def statistics(self) -> ModelStatistics:
        return self.counters.of("simple", 1)

    def infer(self, rows: int = 1, transport_deadline_ns: int | None = None, **fields: Any) -> Any:
        data = np.arange(rows * 16, dtype=np.int32)
        inputs = [InputTensor(f"INPUT{i}", "INT32", (rows, 16), data.tobytes()) for i in (0, 1)]
        return self.plane.infer(
            "simple", "", lambda: InferRequest(inputs, **fields), self.clock.now_ns, transport_deadline_ns
        )


def expect(code: Code, message: str = "") -> Any:
    return pytest.raises(ServerError, check=lambda e: e.code is code and message in e.message)


def test_budgets_become_one_deadline() -> None:
    async def test() -> None:
        ms = 1_000_000
        cases: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], int | None]] = [
            ({}, {}, {}, None),
            ({"timeout_us": 5000}, {}, {}, 5 * ms),
            ({"timeout_us": 0}, {"default_timeout_ns": 7 * ms}, {}, 7 * ms),
            ({"timeout_us": 9000}, {"default_timeout_ns": 7 * ms}, {}, 7 * ms),
            ({}, {"default_timeout_ns": 7 * ms}, {"default_slo_ns": 6 * ms}, 6 * ms),
            ({}, {}, {"default_slo_ns": 6 * ms}, 6 * ms),
        ]
        for request, model, server, expected in cases:
            bench = Bench(simple(**model), **server)
            await bench.infer(**request)
            (call,) = bench.engine.calls
            assert call.arrival_ns == bench.clock.now_ns
            assert call.deadline_ns == (None if expected is None else call.arrival_ns + expected)

    run(test())


def test_a_deadline_that_has_passed_is_refused_without_the_engine() -> None:
    async def test() -> None:
        bench = Bench()
        with expect(Code.UNAVAILABLE, LATE):
            await bench.infer(transport_deadline_ns=bench.clock.now_ns)
        assert bench.engine.calls == []
        assert bench.statistics.failures[Failure.REJECTED].count == 1

    run(test())


def test_the_engines_refusal_is_passed_on() -> None:
    async def test() -> None:
        bench = Bench()
        bench.engine.error = ServerError(Code.UNAVAILABLE, LATE)
        with expect(Code.UNAVAILABLE, LATE):
            await bench.infer(timeout_us=1)
        assert bench.statistics.failures[Failure.REJECTED].count == 1
        assert bench.statistics.success.count == 0

    run(test())


def test_an_answer_past_its_deadline_is_sent_and_counted_late() -> None:
    async def test() -> None:
        bench = Bench()

        def take_2_ms(call: InferenceCall) -> None:
            bench.clock.now_ns += 2_000_000

        bench.engine.on_call = take_2_ms
        await bench.infer(timeout_us=1000)
        await bench.infer(timeout_us=2000)
        assert bench.statistics.late == 1
        assert bench.statistics.success.count == 2

    run(test())


@pytest.mark.parametrize(
    ("error", "reason", "code"),
    [
        (ServerError(Code.INTERNAL, "device"), Failure.BACKEND, Code.INTERNAL),
        (ServerError(Code.UNAVAILABLE, "worker lost"), Failure.BACKEND, Code.UNAVAILABLE),
        (ServerError(Code.CANCELLED, ""), Failure.CANCELED, Code.CANCELLED),
        (ZeroDivisionError("bug"), Failure.OTHER, Code.INTERNAL),
    ],
)
def test_failures_have_reasons(error: Exception, reason: Failure, code: Code) -> None:
    async def test() -> None:
        bench = Bench()
        bench.engine.error = error
        with expect(code):
            await bench.infer()
        counts = {r: d.count for r, d in bench.statistics.failures.items() if d.count}
        assert counts == {reason: 1}

    run(test())


def test_a_request_that_is_not_in_order_is_no_failure() -> None:
    async def test() -> None:
        bench = Bench()
        with expect(Code.INVALID_ARG):
            await bench.infer(outputs=("X",))
        assert bench.statistics.fail.count == 0
        assert bench.statistics.invalid == 1

    run(test())


def test_the_lookup_comes_before_decoding() -> None:
    async def test() -> None:
        def decode() -> InferRequest:
            raise AssertionError("decoded a request for an unknown model")

        bench = Bench()
        with expect(Code.NOT_FOUND, "Request for unknown model: 'nobody' is not found"):
            await bench.plane.infer("nobody", "", decode, 0)

    run(test())


def test_a_request_too_big_for_one_execution_runs_in_parts() -> None:
    async def test() -> None:
        bench = Bench(simple(batch_sizes=(1, 2, 4)), held=True)
        task = asyncio.ensure_future(bench.infer(rows=7, timeout_us=1000))
        await bench.engine.until_waiting(2)
        assert [call.rows for call in bench.engine.calls] == [4, 3]
        assert len({call.deadline_ns for call in bench.engine.calls}) == 1
        bench.engine.release(1, action_id=2)
        bench.engine.release(0, action_id=1, queue_ns=5)
        response: InferResponse = await task
        assert response.layout.tensors[0].shape == (7, 16)
        counted = np.arange(112, dtype=np.int32)
        assert response.data[0] == (counted + counted).tobytes()
        stats = bench.statistics
        assert (stats.success.count, stats.inference_count, stats.execution_count) == (1, 7, 2)

    run(test())


def test_cancelling_cancels_the_engines_call() -> None:
    async def test() -> None:
        bench = Bench(held=True)
        task = asyncio.ensure_future(bench.infer())
        await bench.engine.until_waiting(1)
        assert bench.plane.model("simple", "").pending == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.engine.cancelled == 1
        assert bench.statistics.failures[Failure.CANCELED].count == 1
        assert bench.plane.model("simple", "").pending == 0

    run(test())


def test_draining() -> None:
    async def test() -> None:
        bench = Bench(held=True)
        await bench.plane.drained()
        task = asyncio.ensure_future(bench.infer())
        await bench.engine.until_waiting(1)
        bench.plane.stop_accepting()
        assert bench.plane.live()
        assert not bench.plane.ready()
        with expect(Code.UNAVAILABLE, "GRPC server is shutting down and has stopped accepting new requests."):
            await bench.infer()
        drained = asyncio.ensure_future(bench.plane.drained())
        await asyncio.sleep(0)
        assert not drained.done()
        bench.engine.release()
        assert (await task).layout.model_name == "simple"
        await drained

    run(test())


@pytest.mark.parametrize(("strict", "expected"), [(True, False), (False, True)])
def test_readiness_is_strict_or_not(strict: bool, expected: bool) -> None:
    bench = Bench(strict_readiness=strict)
    assert bench.plane.ready()
    bench.index.ready = False
    assert bench.plane.ready() is expected
    bench.index.ready = True
    bench.engine.down = True
    assert bench.plane.ready() is expected


def test_model_readiness() -> None:
    bench = Bench()
    assert bench.plane.model_ready("simple", "1")
    assert not bench.plane.model_ready("simple", "2")
    assert not bench.plane.model_ready("nobody", "")
    with expect(Code.INVALID_ARG):
        bench.plane.model_ready("simple", "x")


def test_models_by_name_and_version() -> None:
    two, one = simple(version=2, model_id=2), simple()
    other = ServedModel("other", 1, 3, one.config, one.inputs, one.outputs, 8)
    plane = Bench(two, one, other).plane

    def found(*asked: str) -> list[tuple[str, int]]:
        return [(model.served.name, model.served.version) for model in plane.models(*asked)]

    assert found("simple") == [("simple", 1), ("simple", 2)]
    assert found("simple", "1") == [("simple", 1)]
    assert found() == [("simple", 2), ("simple", 1), ("other", 1)]
    with expect(Code.NOT_FOUND):
        found("nobody")


def test_entries_may_be_limited_to_what_is_ready() -> None:
    bench = Bench()
    broken = IndexEntry("broken", "1", State.UNAVAILABLE, "no such file")
    bench.index.others = [broken]
    assert broken in bench.plane.entries(ready_only=False)
    assert bench.plane.entries(ready_only=True) == [IndexEntry("simple", "1", State.READY)]


def test_a_replaced_model_is_checked_by_its_new_rules_and_keeps_its_counters() -> None:
    async def test() -> None:
        bench = Bench(simple(max_batch_size=8))
        await bench.infer(rows=8)
        bench.index.models = [simple(max_batch_size=4, model_id=2, batch_sizes=(1, 2, 4))]
        with expect(Code.INVALID_ARG, "batch-size must be <= 4"):
            await bench.infer(rows=8)
        await bench.infer(rows=4)
        assert bench.statistics.inference_count == 12

    run(test())


def test_models_long_replaced_are_forgotten() -> None:
    async def test() -> None:
        bench = Bench()
        for model_id in range(100):
            bench.index.models = [simple(model_id=model_id)]
            await bench.infer()
        assert len(bench.plane._models._models) < 20

    run(test())


@covers("priority_queue_policy")
@pytest.mark.parametrize(
    ("priority", "level", "budget"), [(0, 2, None), (1, 1, 1_000_000), (2, 2, None), (7, 2, None)]
)
def test_a_priority_chooses_the_queue_policy(priority: int, level: int, budget: int | None) -> None:
    async def test() -> None:
        bench = Bench(simple(queue=LEVELS))
        await bench.infer(priority=priority)
        (call,) = bench.engine.calls
        assert call.priority == level
        assert call.deadline_ns == (None if budget is None else call.arrival_ns + budget)

    run(test())


@covers("max_queue_size")
def test_no_more_wait_than_the_policy_allows() -> None:
    async def test() -> None:
        bench = Bench(simple(queue=LEVELS), held=True)
        waiting = [asyncio.ensure_future(bench.infer(priority=3)) for _ in range(2)]
        await bench.engine.until_waiting(2)
        with expect(Code.UNAVAILABLE, "[request id: 7] Exceeds maximum queue size"):
            await bench.infer(priority=3, id="7")
        assert bench.statistics.failures[Failure.REJECTED].count == 1
        bench.engine.release()
        again = asyncio.ensure_future(bench.infer(priority=3))
        await bench.engine.until_waiting(2)
        bench.engine.release()
        bench.engine.release()
        await asyncio.gather(*waiting, again)

    run(test())
