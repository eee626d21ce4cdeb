"""One line for each request that was answered, enough to replay the traffic through another controller."""

from __future__ import annotations

from pathlib import Path

from clockwork_triton.telemetry.tsv import TsvWriter

COLUMNS = ("arrival_ns", "model", "rows", "slo_ns", "priority", "outcome", "latency_ns", "batch_size")


class RequestLog:
    """`arrival_ns` is on the server's monotonic clock; `slo_ns` is 0 for a request without a deadline;
    `batch_size` is 0 where nothing ran."""

    def __init__(self, path: Path) -> None:
        self._writer = TsvWriter(path, COLUMNS)

    def record(
        self,
        model: str,
        arrival_ns: int,
        deadline_ns: int | None,
        rows: int,
        priority: int,
        outcome: str,
        now_ns: int,
        batch_size: int,
    ) -> None:
        slo_ns = 0 if deadline_ns is None else max(1, deadline_ns - arrival_ns)
        self._writer.write(
            (arrival_ns, model, rows, slo_ns, priority, outcome, now_ns - arrival_ns, batch_size)
        )

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
