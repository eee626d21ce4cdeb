"""`clockwork-triton stages`: where the time of the requests goes that a running server answered last."""

from __future__ import annotations

import argparse
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from clockwork_triton.frontend.metrics import STAGE_METRIC
from clockwork_triton.telemetry.stages import STAGE_QUANTILES, STAGES, TOTAL

_SAMPLE = re.compile(rf'^{STAGE_METRIC}\{{quantile="([^"]+)",stage="([^"]+)"\}} (\S+)$', re.MULTILINE)


def main(argv: Sequence[str]) -> int:
    """Asks the metrics port; the exit status is 1 if nobody answers there, or nothing was answered yet."""
    parser = argparse.ArgumentParser(prog="clockwork-triton stages", description=__doc__)
    parser.add_argument(
        "--metrics", default="127.0.0.1:8002", metavar="HOST:PORT", help="default: %(default)s"
    )
    address = parser.parse_args(argv).metrics
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
            text = reply.read().decode()
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        print(f"clockwork-triton stages: no metrics at {address}: {reason}", file=sys.stderr)
        return 1
    found = read(text)
    if not found:
        print("clockwork-triton stages: the server has answered no request over gRPC yet", file=sys.stderr)
        return 1
    Console(width=None if sys.stdout.isatty() else 110).print(table(found))
    return 0


def read(metrics: str) -> dict[str, dict[float, float]]:
    """Seconds by stage and quantile, out of the text of the metrics."""
    found: dict[str, dict[float, float]] = {}
    for quantile, stage, seconds in _SAMPLE.findall(metrics):
        found.setdefault(stage, {})[float(quantile)] = float(seconds)
    return found


def table(found: Mapping[str, Mapping[float, float]]) -> Table:
    shown = Table(
        "stage", caption="quantiles of each stage by itself: they do not add up", header_style="bold"
    )
    for quantile in STAGE_QUANTILES:
        shown.add_column(f"p{100 * quantile:g} us", justify="right")
    shown.add_column("what")
    for stage, what in (*STAGES.items(), (TOTAL, "first byte to last")):
        row = found[stage]
        shown.add_row(stage, *(f"{row[quantile] * 1e6:,.1f}" for quantile in STAGE_QUANTILES), what)
    return shown
