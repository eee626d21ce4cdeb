"""Models that only some workers may run."""

from __future__ import annotations

import csv
from pathlib import Path

from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec
from clockwork_triton.engine.engine import Engine
from clockwork_triton.engine.options import EngineOptions, WorkerOptions
from tests.engine.artifacts import KIND, PAGE_BYTES, write_artifact
from tests.engine.test_engine import call, infer, run

ESTIMATE = Estimate(200_000, {1: 100_000, 2: 200_000})
WORKER = WorkerOptions(f"emulated:{KIND}", 4 * PAGE_BYTES, 1 << 16, slots=4, slot_bytes=1 << 16)


def test_a_model_runs_on_the_workers_it_is_given_alone(tmp_path: Path) -> None:
    log = tmp_path / "actions.tsv"

    async def body() -> None:
        engine = Engine(Controller(POLICIES["adaptive"]()), EngineOptions((WORKER,) * 3, log))
        await engine.start()
        try:
            assert engine.device_kinds(frozenset({2})) == [KIND]
            models = {}
            for worker in (2, 0):
                artifact = write_artifact(tmp_path / f"m{worker}")
                model_id = await engine.models.register(artifact.name, artifact, frozenset({worker}))
                engine.models.schedule(model_id, {KIND: ESTIMATE})
                models[model_id] = worker
            for model_id in [*models] * 10:
                await infer(engine, call(model_id))
        finally:
            await engine.stop()

    run(body)
    with log.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert {(row["model"], row["worker_id"]) for row in rows} == {("m2", "2"), ("m0", "0")}


def test_a_spec_knows_where_it_may_run() -> None:
    here, there = (WorkerSpec(i, KIND, 4, 4, True) for i in range(2))
    anywhere = ModelSpec(1, "m", (1,), {KIND: ESTIMATE})
    assert anywhere.estimate_on(here) == anywhere.estimate_on(there) == ESTIMATE
    bound = ModelSpec(1, "m", (1,), {KIND: ESTIMATE}, frozenset({1}))
    assert (bound.estimate_on(here), bound.estimate_on(there)) == (None, ESTIMATE)
    assert ModelSpec(1, "m", (1,), {}).estimate_on(here) is None
