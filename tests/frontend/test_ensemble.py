"""Ensembles through the data plane: `simple` applied to what `simple` made."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import TIMEOUT_EXPIRED, Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.request import InferRequest, InputTensor
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.repository.model import EnsemblePlan, EnsembleStep, ServedModel
from clockwork_triton.telemetry.statistics import Statistics
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, served_model, simple

MS = 1_000_000
A, B = np.arange(16, dtype=np.int32), np.full(16, 3, np.int32)

CHAIN = EnsemblePlan(
    (
        EnsembleStep("simple", "", {"INPUT0": "sum", "INPUT1": "difference"}, {"OUTPUT0": "twice"}),
        EnsembleStep(
            "simple", "", {"INPUT0": "a", "INPUT1": "b"}, {"OUTPUT0": "sum", "OUTPUT1": "difference"}
        ),
    )
)
BESIDE = EnsemblePlan(
    (
        EnsembleStep("simple", "", {"INPUT0": "a", "INPUT1": "b"}, {"OUTPUT0": "twice"}),
        EnsembleStep("simple", "", {"INPUT0": "b", "INPUT1": "a"}, {"OUTPUT1": "difference"}),
    )
)


def ensemble(plan: EnsemblePlan, **changes: Any) -> ServedModel:
    names = ("a", "b", "twice", "difference")
    specs = [TensorSpec(name, "int32", (16,)) for name in names]
    model = served_model("both", specs[:2], specs[2:], model_id=-1, batch_sizes=(), **changes)
    return replace(model, ensemble=plan, runtime="ensemble")


class Bench:
    def __init__(
        self, plan: EnsemblePlan = CHAIN, *, held: bool = False, cached: bool = False, **changes: Any
    ) -> None:
        self.clock = FakeClock()
        self.engine = FakeEngine(held=held)
        self.statistics = Statistics()
        index = FakeIndex([simple(cached=cached), ensemble(plan, **changes)])
        cache = ResponseCache(1 << 20) if cached else None
        self.plane = DataPlane(index, self.engine, self.statistics, self.clock, cache=cache)

    def infer(self, rows: int = 1, **fields: Any) -> Any:
        inputs = [
            InputTensor(name, "INT32", (rows, 16), np.tile(data, (rows, 1)).tobytes())
            for name, data in (("a", A), ("b", B))
        ]
        request = InferRequest(inputs, **fields)
        return self.plane.infer("both", "", lambda: request, self.clock.now_ns)


@pytest.mark.parametrize("rows", [1, 3])
def test_steps_run_on_what_others_made(rows: int) -> None:
    async def test() -> None:
        bench = Bench()
        response = await bench.infer(rows, id="7")
        twice, difference = (np.frombuffer(data, np.int32).reshape(rows, 16) for data in response.data)
        assert (twice == 2 * A).all()
        assert (difference == A - B).all()
        assert response.id == "7"
        assert [t.shape for t in response.layout.tensors] == [(rows, 16), (rows, 16)]
        both, step = bench.statistics.of("both", 1), bench.statistics.of("simple", 1)
        assert (both.success.count, both.inference_count, both.execution_count) == (1, rows, 1)
        assert (step.success.count, step.inference_count) == (2, 2 * rows)
        assert both.compute_infer.ns == step.compute_infer.ns == 200

    run(test())


def test_a_deadline_covers_all_steps() -> None:
    async def test() -> None:
        bench = Bench(held=True)
        task = asyncio.ensure_future(bench.infer(timeout_us=5000))
        await bench.engine.until_waiting(1)
        ends_ns = bench.clock.now_ns + 5 * MS
        bench.clock.now_ns += 3 * MS
        bench.engine.release()
        assert [call.deadline_ns for call in bench.engine.calls] == [ends_ns, ends_ns]
        assert bench.engine.calls[1].arrival_ns == ends_ns - 2 * MS
        bench.engine.release()
        await task

    run(test())


def test_a_step_that_begins_too_late_is_refused_at_once() -> None:
    async def test() -> None:
        bench = Bench(held=True, default_timeout_ns=5 * MS)
        task = asyncio.ensure_future(bench.infer())
        await bench.engine.until_waiting(1)
        bench.clock.now_ns += 6 * MS
        bench.engine.release()
        with pytest.raises(ServerError) as caught:
            await task
        assert (caught.value.code, caught.value.message) == (Code.UNAVAILABLE, TIMEOUT_EXPIRED)
        assert len(bench.engine.calls) == 1
        assert bench.statistics.of("both", 1).fail.count == 1
        await bench.plane.drained()

    run(test())


def test_steps_that_need_nothing_of_each_other_run_together_and_fail_together() -> None:
    async def test() -> None:
        bench = Bench(BESIDE, held=True)
        task = asyncio.ensure_future(bench.infer())
        await bench.engine.until_waiting(2)
        bench.engine.fail(ServerError(Code.INTERNAL, "the device failed"))
        with pytest.raises(ServerError, match="the device failed"):
            await task
        assert bench.engine.cancelled == 1
        await bench.plane.drained()

    run(test())


def test_cancelling_it_cancels_its_steps() -> None:
    async def test() -> None:
        bench = Bench(BESIDE, held=True)
        task = asyncio.ensure_future(bench.infer())
        await bench.engine.until_waiting(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.engine.cancelled == 2
        await bench.plane.drained()

    run(test())


def test_a_step_whose_model_is_gone_is_named() -> None:
    async def test() -> None:
        gone = replace(CHAIN.steps[0], model="gone")
        with pytest.raises(ServerError, match="Request for unknown model: 'gone' is not found"):
            await Bench(EnsemblePlan((gone, CHAIN.steps[1]))).infer()

    run(test())


def test_steps_may_all_be_answered_from_the_cache() -> None:
    async def test() -> None:
        bench = Bench(cached=True)
        first = await bench.infer()
        again = await bench.infer()
        assert again.data == first.data
        assert len(bench.engine.calls) == 2

    run(test())


def test_those_under_way_end_although_no_more_are_taken() -> None:
    async def test() -> None:
        bench = Bench(held=True)
        task = asyncio.ensure_future(bench.infer())
        await bench.engine.until_waiting(1)
        bench.plane.stop_accepting()
        bench.engine.release()
        bench.engine.release()
        assert len((await task).data) == 2
        await bench.plane.drained()

    run(test())
