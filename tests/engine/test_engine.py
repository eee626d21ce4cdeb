"""The engine over real worker processes with the emulated device."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clockwork_triton.artifact import Profile
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.engine.engine import Engine
from clockwork_triton.engine.options import EngineOptions, WorkerOptions
from clockwork_triton.engine.worker_process import WorkerProcess
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.inference import InferenceAnswer, InferenceCall
from tests.engine.artifacts import KIND, PAGE_BYTES, write_artifact

ROW = (bytes(16), bytes(16))


@asynccontextmanager
async def running(
    pages: int = 4, log: Path | None = None, requests: Path | None = None
) -> AsyncIterator[Engine]:
    worker = WorkerOptions(f"emulated:{KIND}", pages * PAGE_BYTES, 1 << 16, slots=4, slot_bytes=1 << 16)
    engine = Engine(Controller(POLICIES["clockwork"]()), EngineOptions((worker,), log, requests))
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def serve(engine: Engine, artifact: Path, workers: frozenset[int] | None = None) -> int:
    profile = Profile.read(artifact, KIND)
    assert profile is not None
    model_id = await engine.models.register(artifact.name, artifact, workers)
    infer_ns = {size: times.p99_ns for size, times in profile.infer.items()}
    engine.models.schedule(model_id, {KIND: Estimate(profile.load.p99_ns, infer_ns)})
    return model_id


def call(model_id: int, budget_ns: int | None = None) -> InferenceCall:
    now = time.monotonic_ns()
    return InferenceCall(model_id, 1, ROW, now, None if budget_ns is None else now + budget_ns)


async def infer(engine: Engine, inference: InferenceCall) -> InferenceAnswer:
    outcome: asyncio.Future[InferenceAnswer] = asyncio.get_running_loop().create_future()

    def done(told: InferenceAnswer | ServerError) -> None:
        if isinstance(told, ServerError):
            outcome.set_exception(told)
        else:
            outcome.set_result(told)

    number = engine.submit(inference, done)
    try:
        return await outcome
    except asyncio.CancelledError:
        engine.cancel(number)
        raise


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(body(), 60)

    asyncio.run(bounded())


def test_a_request_is_answered_with_the_outputs_of_its_row(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            answer = await infer(engine, call(model_id))
            assert [len(output) for output in answer.outputs] == [16]
            assert answer.executed_rows == 1
            assert answer.infer_ns > 0

    run(body)


def test_an_impossible_deadline_is_refused_without_the_worker(tmp_path: Path) -> None:
    async def body() -> None:
        log = tmp_path / "actions.tsv"
        async with running(log=log) as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            with pytest.raises(ServerError, match=r"^Request timeout expired$") as refused:
                await infer(engine, call(model_id, 1_000))
            assert refused.value.code is Code.UNAVAILABLE
        assert len(log.read_text().splitlines()) == 1, "only the header"

    run(body)


def test_models_that_do_not_fit_together_take_turns(tmp_path: Path) -> None:
    async def body() -> None:
        log = tmp_path / "actions.tsv"
        async with running(pages=2, log=log) as engine:
            models = [await serve(engine, write_artifact(tmp_path / f"m{i}")) for i in range(5)]
            for _ in range(2):
                for model_id in models:
                    await infer(engine, call(model_id))
                    assert engine._controller.pages_used(0) <= 2
        kinds = [line.split("\t")[2] for line in log.read_text().splitlines()[1:]]
        assert kinds.count("INFER") == 10
        assert kinds.count("LOAD") == 10
        assert kinds.count("UNLOAD") >= 8

    run(body)


def test_a_killed_worker_comes_back_and_nothing_hangs(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m", infer_ns=50_000_000))
            calls = [asyncio.ensure_future(infer(engine, call(model_id))) for _ in range(20)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            assert engine.up()
            os.kill(engine._fleet[0].pid, signal.SIGKILL)
            while engine.up():
                await asyncio.sleep(0)
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert not isinstance(result, BaseException) or (
                    isinstance(result, ServerError) and result.code is Code.UNAVAILABLE
                )
            await infer(engine, call(model_id))
            assert engine.gauges()[0].restarts == 1
            assert engine.up()

    run(body)


def test_calibration_measures_every_batch_size(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await engine.models.register("m", write_artifact(tmp_path / "m", infer_ns=300_000))
            rough = Estimate(1_000_000, {1: 1_000_000, 2: 1_000_000})
            measured = await engine.models.calibrate(model_id, KIND, rough, 2, {1: 3, 2: 4})
            assert len(measured.load_ns) == 2
            assert {size: len(times) for size, times in measured.infer_ns.items()} == {1: 3, 2: 4}
            assert min(measured.infer_ns[2]) >= 600_000

    run(body)


def test_a_retired_model_answers_what_it_has_and_is_gone(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m", infer_ns=5_000_000))
            calls = [asyncio.ensure_future(infer(engine, call(model_id))) for _ in range(3)]
            await asyncio.sleep(0)
            await engine.models.retire(model_id)
            assert all(task.done() and task.exception() is None for task in calls)
            assert engine._controller.pages_used(0) == 0

    run(body)


def test_a_worker_that_cannot_run_a_model_says_why(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(pages=2) as engine:
            with pytest.raises(ServerError, match="a worker cannot run 'm'"):
                await engine.models.register("m", write_artifact(tmp_path / "m", pages=3))

    run(body)


def test_a_cancelled_call_gives_its_place_up(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m", infer_ns=20_000_000))
            first = asyncio.ensure_future(infer(engine, call(model_id)))
            others = [asyncio.ensure_future(infer(engine, call(model_id))) for _ in range(20)]
            await asyncio.sleep(0)
            for task in others:
                task.cancel()
            await first
            await asyncio.gather(*others, return_exceptions=True)
            await infer(engine, call(model_id))
            assert all(task.cancelled() for task in others)

    run(body)


def test_a_model_is_called_what_it_is_served_as(tmp_path: Path) -> None:
    """The artifact may have been made for another one with the same contents."""

    async def body() -> None:
        async with running() as engine:
            model_id = await engine.models.register("served", write_artifact(tmp_path / "made"))
            assert engine.models.manifests[model_id].name == "served"
            assert [model.name for model in engine._controller.snapshot().models] == ["served"]

    run(body)


def test_a_load_that_is_given_up_in_its_calibration_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await engine.models.register("m", write_artifact(tmp_path / "m", infer_ns=1_000_000))
            rough = Estimate(1_000_000, {1: 1_000_000, 2: 1_000_000})
            calibration = asyncio.ensure_future(
                engine.models.calibrate(model_id, KIND, rough, 1, {1: 100_000})
            )
            await asyncio.sleep(0)
            calibration.cancel()
            await engine.models.retire(model_id)
            assert engine._controller.pages_used(0) == 0
            assert not engine._controller.snapshot().models

    run(body)


def test_stopping_fails_what_waits(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m", infer_ns=20_000_000))
            calls = [asyncio.ensure_future(infer(engine, call(model_id))) for _ in range(5)]
            await asyncio.sleep(0)
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, ServerError)
            assert result.code is Code.UNAVAILABLE

    run(body)


def test_who_asks_after_the_end_is_told_too(tmp_path: Path) -> None:
    """As a request of a sequence does, when it is told that the one before it has failed."""

    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m", infer_ns=20_000_000))
            late = asyncio.ensure_future(infer(engine, call(model_id)))
            late.add_done_callback(
                lambda _: again.append(asyncio.ensure_future(infer(engine, call(model_id))))
            )
            again: list[asyncio.Future[object]] = []
            await asyncio.sleep(0)
        await asyncio.wait([late])
        for each in (late, *again):
            with pytest.raises(ServerError, match="Server is stopping"):
                await each
        assert len(again) == 1

    run(body)


def test_the_request_log_tells_what_became_of_each_request(tmp_path: Path) -> None:
    async def body() -> None:
        log = tmp_path / "requests.tsv"
        async with running(requests=log) as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            await infer(engine, call(model_id, 10_000_000_000))
            with pytest.raises(ServerError):
                await infer(engine, call(model_id, 1_000))
        header, answered, refused = (line.split("\t") for line in log.read_text().splitlines())
        lines = [dict(zip(header, row, strict=True)) for row in (answered, refused)]
        assert [line["outcome"] for line in lines] == ["ok", "refused"]
        assert [line["slo_ns"] for line in lines] == ["10000000000", "1000"]
        assert [line["batch_size"] for line in lines] == ["1", "0"]

    run(body)


def test_a_stuck_worker_is_replaced(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            await infer(engine, call(model_id))
            os.kill(engine._fleet[0].pid, signal.SIGSTOP)
            await infer(engine, call(model_id))
            assert engine.gauges()[0].restarts == 1

    run(body)


def test_a_server_that_was_kept_from_running_blames_no_worker(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            answer = asyncio.create_task(infer(engine, call(model_id)))
            await asyncio.sleep(0)
            time.sleep(1.5)
            await answer
            await infer(engine, call(model_id))
            assert engine.gauges()[0].restarts == 0

    run(body)


def test_a_worker_that_dies_while_it_is_told_the_models_is_not_let_in(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            tell, deaths = engine._fleet._tell_models, []

            async def die_once(worker: WorkerProcess) -> None:
                if not deaths:
                    deaths.append(worker.pid)
                    worker.kill()
                await tell(worker)

            engine._fleet._tell_models = die_once  # type: ignore[method-assign]
            os.kill(engine._fleet[0].pid, signal.SIGKILL)
            await infer(engine, call(model_id))
            assert len(deaths) == 1
            assert engine.gauges()[0].up

    run(body)


def test_a_full_disk_costs_the_logs_alone(tmp_path: Path) -> None:
    async def body() -> None:
        full = Path("/dev/full")
        async with running(log=full, requests=full) as engine:
            model_id = await serve(engine, write_artifact(tmp_path / "m"))
            await asyncio.gather(*(infer(engine, call(model_id)) for _ in range(1500)))
            assert engine.gauges()[0].restarts == 0

    run(body)


def test_a_cancelled_registration_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        async with running() as engine:
            task = asyncio.ensure_future(engine.models.register("m", write_artifact(tmp_path / "m")))
            while not engine._fleet._artifacts:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not engine._fleet._artifacts

    run(body)
