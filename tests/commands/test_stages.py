from __future__ import annotations

import asyncio
import socket

import pytest

from clockwork_triton.commands.stages import main, read
from clockwork_triton.frontend.metrics_http import MetricsServer
from clockwork_triton.telemetry.stages import STAGES, TOTAL

METRICS = "# TYPE clockwork_stage_seconds gauge\n" + "".join(
    f'clockwork_stage_seconds{{quantile="{quantile}",stage="{stage}"}} {micros * 1e-06!r}\n'
    for stage in (*STAGES, TOTAL)
    for quantile, micros in ((0.5, 12.25), (0.99, 3456.7))
)


def ask(text: str) -> int:
    async def run() -> int:
        server = MetricsServer(lambda: text)
        port = await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(main, ["--metrics", f"127.0.0.1:{port}"])
        finally:
            await server.stop()

    return asyncio.run(run())


def test_the_table_names_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(METRICS) == 0
    shown = capsys.readouterr().out
    for stage in (*STAGES, TOTAL):
        (line,) = [line for line in shown.splitlines() if line.startswith(f"│ {stage} ")]
        assert "12.2" in line
        assert "3,456.7" in line


def test_a_server_that_has_answered_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("nv_inference_count 0\n") == 1
    assert "answered no request" in capsys.readouterr().err


def test_a_port_where_nobody_listens_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["--metrics", address]) == 1
    assert f"no metrics at {address}" in capsys.readouterr().err


def test_other_metrics_are_passed_over() -> None:
    assert read(METRICS.replace("stage_seconds", "other_seconds")) == {}
