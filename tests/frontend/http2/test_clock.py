from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from clockwork_triton.frontend.http2.clock import LoopClock
from tests.frontend.fakes import run


def test_work_may_fail_when_nobody_waits_for_it() -> None:
    async def test() -> None:
        complaints: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        clock = LoopClock(loop, time.monotonic_ns)
        clock.offload(lambda: 1 // 0)
        assert await clock.offload(lambda: 5) == 5
        gc.collect()
        clock.close()
        assert not complaints

    run(test())
