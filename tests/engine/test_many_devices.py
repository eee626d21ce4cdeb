"""One real engine over many emulated devices, each a process at the end of a real channel."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.engine.engine import Engine
from clockwork_triton.engine.options import EngineOptions, WorkerOptions
from clockwork_triton.errors import TIMEOUT_EXPIRED, ServerError
from tests.engine.artifacts import KIND, PAGE_BYTES, write_artifact
from tests.engine.test_engine import call, infer, serve

MS = 1_000_000
INFER_NS = 20 * MS
MODELS = 4
# More than the devices can do by then: the models must spread.
CLIENTS_A_DEVICE = 10
BUDGET_NS = 200 * MS
CLIENTS_A_MODEL = 2
ROUNDS = 20


async def drive(folder: Path, devices: int) -> None:
    """Closed loops go on until every device has served."""
    worker = WorkerOptions(f"emulated:{KIND}", MODELS * PAGE_BYTES, 1 << 16, slots=4, slot_bytes=1 << 16)
    engine = Engine(Controller(POLICIES["adaptive"]()), EngineOptions((worker,) * devices))
    await engine.start()
    try:
        models = [await serve(engine, write_artifact(folder / f"m{n}", 1, INFER_NS)) for n in range(MODELS)]
        answered = 0

        async def client(model: int) -> None:
            nonlocal answered
            while not all(gauge.infers for gauge in engine.gauges()):
                with contextlib.suppress(ServerError):
                    await infer(engine, call(model, BUDGET_NS))
                    answered += 1

        clients = [client(models[n % MODELS]) for n in range(CLIENTS_A_DEVICE * devices)]
        await asyncio.gather(*clients)
        assert answered >= sum(gauge.infers for gauge in engine.gauges()) >= devices
        with pytest.raises(ServerError, match=TIMEOUT_EXPIRED):
            await infer(engine, call(models[0], INFER_NS // 2))
    finally:
        await engine.stop()


async def ask_each(folder: Path, devices: int) -> None:
    """Every device has a model of its own, with its own clients, all of which wait for their answers."""
    worker = WorkerOptions(f"emulated:{KIND}", PAGE_BYTES, 1 << 16, slots=4, slot_bytes=1 << 16)
    engine = Engine(Controller(POLICIES["adaptive"]()), EngineOptions((worker,) * devices))
    await engine.start()
    try:
        models = [
            await serve(engine, write_artifact(folder / f"m{n}", 1, INFER_NS), frozenset({n}))
            for n in range(devices)
        ]

        async def client(model: int) -> None:
            for _ in range(ROUNDS):
                answer = await infer(engine, call(model))
                assert answer.executed_rows >= 1

        await asyncio.gather(*(client(model) for model in models * CLIENTS_A_MODEL))
        assert [gauge.infers >= ROUNDS for gauge in engine.gauges()] == [True] * devices
        with pytest.raises(ServerError, match=TIMEOUT_EXPIRED):
            await infer(engine, call(models[0], INFER_NS // 2))
    finally:
        await engine.stop()


def test_work_spreads_over_all_devices(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(drive(tmp_path, 4), 60))


@pytest.mark.long
def test_a_hundred_devices_serve_at_once(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(ask_each(tmp_path, 100), 170))
