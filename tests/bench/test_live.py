from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from clockwork_triton.bench.ledger import Ledger
from clockwork_triton.bench.live import LiveLine
from clockwork_triton.bench.wire import Reply

MS = 1_000_000


def test_a_line_tells_what_happened_since_the_last() -> None:
    driver: Any = SimpleNamespace(offered=0, in_flight=0)
    ledger = Ledger()
    line = LiveLine(driver, ledger, None)  # type: ignore[arg-type]
    for latency_ms in (1, 3):
        ledger.enter(0, 0, 0, latency_ms * MS, 2 * MS, Reply("OK", b""))
    driver.offered, driver.in_flight = 5, 3
    assert "sent 5/s  good 1/s  late 1  refused 0  failed 0  open 3  p99 3.00 ms" in line.text()
    ledger.enter(0, 0, 0, MS, None, Reply("UNAVAILABLE", b"no"))
    driver.offered = 6
    assert "sent 1/s  good 0/s  late 0  refused 1  failed 0  open 3  p99 nan ms" in line.text()
