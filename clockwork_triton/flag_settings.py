"""Flags whose values are settings of their own: traces, metrics, caches, restrictions."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace

from clockwork_triton.flag_values import boolean
from clockwork_triton.frontend.grpc_options import COMPRESSION_LEVELS
from clockwork_triton.frontend.restriction import CATEGORIES, Restriction
from clockwork_triton.telemetry.latency_options import LatencyOptions


def log_format(text: str) -> str:
    """One of Triton's two."""
    if text not in ("default", "ISO8601"):
        raise argparse.ArgumentTypeError(f"invalid argument for --log-format: '{text}'")
    return text


def compression_level(text: str) -> str:
    """One of COMPRESSION_LEVELS."""
    if text not in COMPRESSION_LEVELS:
        raise argparse.ArgumentTypeError(f"'{text}' is not one of {', '.join(COMPRESSION_LEVELS)}")
    return text


def cache_size(text: str) -> int:
    """`local,size=BYTES`. Triton's other cache, redis, is not there."""
    match = re.fullmatch(r"local,size=(\d+)", text.strip())
    if not match or not int(match[1]):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not of the form local,size=BYTES, the only cache there is"
        )
    return int(match[1])


def metrics_option(text: str) -> tuple[str, str]:
    """A setting of `latency_options`, checked."""
    name, equals, value = text.partition("=")
    if name == "summary_quantiles" and equals:
        for pair in value.split(","):
            quantile, _, error = pair.partition(":")
            if not _is_share(quantile) or not _is_share(error or "0"):
                raise argparse.ArgumentTypeError(f"'{pair}' is not of the form QUANTILE:ERROR")
    elif name in ("counter_latencies", "histogram_latencies", "summary_latencies") and equals:
        boolean(value)
    else:
        raise argparse.ArgumentTypeError(f"'{text}' is no setting of the metrics")
    return name, value


def latency_options(settings: Sequence[tuple[str, str]]) -> LatencyOptions:
    """From metrics_option's; the last of a name counts. The errors of quantiles are not needed."""
    given = dict(settings)
    options = LatencyOptions(
        counters=boolean(given.get("counter_latencies", "true")),
        histograms=boolean(given.get("histogram_latencies", "false")),
        summaries=boolean(given.get("summary_latencies", "false")),
    )
    if "summary_quantiles" in given:
        quantiles = (float(pair.partition(":")[0]) for pair in given["summary_quantiles"].split(","))
        options = replace(options, quantiles=tuple(quantiles))
    return options


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def trace_option(text: str) -> tuple[str, str]:
    """`name=value`, or `mode,name=value` for what belongs to a mode; the mode must be triton.

    Gives the name and the value; the names are level, rate, count, mode, file and log-frequency.
    """
    name, equals, value = text.partition("=")
    mode, comma, inner = name.partition(",")
    if comma:
        name = inner
    else:
        mode = value if name == "mode" else "triton"
    if not equals or name not in ("level", "rate", "count", "mode", "file", "log-frequency"):
        raise argparse.ArgumentTypeError(f"'{text}' is no trace setting such as level=TIMESTAMPS")
    if mode != "triton":
        raise argparse.ArgumentTypeError(f"trace mode '{mode}' is not supported, only triton is")
    return name, value


def http_restriction(text: str) -> dict[str, Restriction]:
    """`category,category:header=value`."""
    return _restriction(text, "")


def grpc_restriction(text: str) -> dict[str, Restriction]:
    """`category,category:key=value`; Triton puts triton-grpc-protocol- before the key."""
    return _restriction(text, "triton-grpc-protocol-")


def _restriction(text: str, prefix: str) -> dict[str, Restriction]:
    categories, colon, rest = text.partition(":")
    key, equals, value = rest.partition("=")
    names = [name.strip() for name in categories.split(",")]
    if not (colon and equals and key.strip()):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form CATEGORIES:KEY=VALUE")
    for name in names:
        if name not in CATEGORIES:
            raise argparse.ArgumentTypeError(f"'{name}' is not one of {', '.join(CATEGORIES)}")
    return dict.fromkeys(names, Restriction(prefix + key.strip(), value))
