"""One real engine over many emulated devices, each a process at the end of a real channel."""

from __future__ import annotations

import asyncio
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
                try:
                    await infer(engine, call(model, BUDGET_NS))
                    answered += 1
                except ServerError:
                    # A client that is refused does not ask again at once: a thousand of them would leave the
                    # server no time for anything else.
                    await asyncio.sleep(BUDGET_NS / 1e9)

        clients = [client(models[n % MODELS]) for n in range(CLIENTS_A_DEVICE * devices)]
        await asyncio.gather(*clients)
        assert answered >= sum(gauge.infers for gauge in engine.gauges()) >= devices
        with pytest.raises(ServerError, match=TIMEOUT_EXPIRED):
            await infer(engine, call(models[0], INFER_NS // 2))
    finally:
        await engine.stop()


@pytest.mark.parametrize("devices", [4, pytest.param(100, marks=pytest.mark.long)])
def test_work_spreads_over_all_devices(tmp_path: Path, devices: int) -> None:
    asyncio.run(asyncio.wait_for(drive(tmp_path, devices), 300))
