"""What the metrics tell of each model: Triton's nv_* families, and this server's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clockwork_triton.frontend.exposition import Family
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.telemetry.latency_options import LatencyOptions
from clockwork_triton.telemetry.statistics import STAGES, Failure

_NS_PER_S = 1e9
_NS_PER_MS = 1e6


def labels_of(model: PreparedModel) -> dict[str, str]:
    """Of every sample of a model: what Triton gives, and the `metric_tags` of its configuration."""
    tags = model.served.config.metric_tags
    return {**tags, "model": model.served.name, "version": str(model.served.version)}


# Triton's counters of a model: name, help, value.
_COUNTERS: tuple[tuple[str, str, Callable[[PreparedModel], int]], ...] = (
    ("nv_inference_request_success", "Requests answered", lambda m: m.statistics.success.count),
    ("nv_inference_count", "Inferences done, counting rows", lambda m: m.statistics.inference_count),
    ("nv_inference_exec_count", "Executions on a device", lambda m: m.statistics.execution_count),
)

# Likewise, those that --metrics-config counter_latencies switches.
_DURATIONS: tuple[tuple[str, str, Callable[[PreparedModel], int]], ...] = (
    (
        "nv_inference_request_duration_us",
        "Time of answered requests from their reading to the answer",
        lambda m: m.statistics.success.ns // 1000,
    ),
    (
        "nv_inference_queue_duration_us",
        "Time of answered requests before their execution",
        lambda m: m.statistics.queue.ns // 1000,
    ),
    (
        "nv_inference_compute_input_duration_us",
        "Time of answered requests for bringing inputs to the device",
        lambda m: m.statistics.compute_input.ns // 1000,
    ),
    (
        "nv_inference_compute_infer_duration_us",
        "Time of answered requests in execution",
        lambda m: m.statistics.compute_infer.ns // 1000,
    ),
    (
        "nv_inference_compute_output_duration_us",
        "Time of answered requests for bringing outputs back",
        lambda m: m.statistics.compute_output.ns // 1000,
    ),
)


def model_families(
    models: Sequence[PreparedModel], now_ns: int, latencies: LatencyOptions
) -> Iterator[Family]:
    """Triton's families."""
    for name, help_text, value in (*_COUNTERS, *(_DURATIONS if latencies.counters else ())):
        family = Family(name, "counter", help_text)
        for model in models:
            family.add(labels_of(model), value(model))
        yield family
    failures = Family("nv_inference_request_failure", "counter", "Requests not answered, by reason")
    pending = Family("nv_inference_pending_request_count", "gauge", "Requests accepted and not yet answered")
    for model in models:
        for reason in Failure:
            count = model.statistics.failures[reason].count
            failures.add({**labels_of(model), "reason": reason.value}, count)
        # What an ensemble waits for is counted where it waits: at its steps.
        pending.add(labels_of(model), 0 if model.served.ensemble is not None else model.pending)
    yield failures
    yield pending
    yield from _cache_families([model for model in models if model.cached])
    if latencies.summaries:
        yield from _summaries(models, now_ns, latencies.quantiles)
    if latencies.histograms:
        yield _first_responses(models)


def _cache_families(models: Sequence[PreparedModel]) -> Iterator[Family]:
    for word in ("hit", "miss"):
        count = Family(
            f"nv_cache_num_{word}{'s' if word == 'hit' else 'es'}_per_model", "counter", f"Cache {word}s"
        )
        duration = Family(f"nv_cache_{word}_duration_per_model", "counter", f"Microseconds of cache {word}s")
        for model in models:
            counted = getattr(model.statistics, f"cache_{word}")
            count.add(labels_of(model), counted.count)
            duration.add(labels_of(model), counted.ns // 1000)
        yield count
        yield duration


def _summaries(models: Sequence[PreparedModel], now_ns: int, quantiles: Sequence[float]) -> Iterator[Family]:
    for stage in STAGES:
        family = Family(
            f"nv_inference_{stage}_summary_us", "summary", f"{stage.replace('_', ' ')} time, microseconds"
        )
        for model in models:
            if model.statistics.summaries is not None:
                family.add_summary(
                    labels_of(model), model.statistics.summaries[stage], now_ns, quantiles, 1000
                )
        yield family


def _first_responses(models: Sequence[PreparedModel]) -> Family:
    """Triton has this of decoupled models only; here every first response is the last."""
    family = Family("nv_inference_first_response_histogram_ms", "histogram", "Time to the first response")
    for model in models:
        if model.statistics.first_response is not None:
            family.add_histogram(labels_of(model), model.statistics.first_response, _NS_PER_MS)
    return family


def own_model_families(models: Sequence[PreparedModel]) -> Iterator[Family]:
    """What only this server can tell."""
    refused = Family(
        "clockwork_requests_refused_total", "counter", "Requests refused because they could not be in time"
    )
    late = Family("clockwork_requests_late_total", "counter", "Answers sent after their deadline")
    invalid = Family(
        "clockwork_requests_invalid_total", "counter", "Requests that were not in order, and never ran"
    )
    latency = Family(
        "clockwork_request_duration_seconds", "histogram", "Answered requests, from arrival to answer"
    )
    for model in models:
        labels, statistics = labels_of(model), model.statistics
        refused.add(labels, statistics.failures[Failure.REJECTED].count)
        late.add(labels, statistics.late)
        invalid.add(labels, statistics.invalid)
        latency.add_histogram(labels, statistics.latency, _NS_PER_S)
    return iter((refused, late, invalid, latency))
