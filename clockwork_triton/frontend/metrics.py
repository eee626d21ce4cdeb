"""Everything on :8002/metrics: Triton's nv_* names and labels, and what only this server can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.exposition import Family, exposition
from clockwork_triton.frontend.host import HostSampler
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.telemetry.gauges import ServerGauges
from clockwork_triton.telemetry.statistics import Failure

_NS_PER_S = 1e9


class Metrics:
    """`gauges` gives the state of what is behind the front end at the moment of a scrape."""

    def __init__(
        self,
        plane: DataPlane,
        gauges: Callable[[], ServerGauges] = ServerGauges,
        host: HostSampler | None = None,
    ) -> None:
        self._plane = plane
        self._gauges = gauges
        self._host = host or HostSampler()

    def render(self) -> str:
        """The Prometheus text of this moment."""
        gauges = self._gauges()
        models = self._plane.models()
        return exposition(
            [
                *_model_families(models),
                _load_durations(models, gauges),
                *self._host_families(),
                *_own_model_families(models),
                *_worker_families(gauges),
                _prediction_errors(gauges),
            ]
        )

    def _host_families(self) -> Iterator[Family]:
        usage = self._host.sample()
        if usage is None:
            return
        for name, help_text, value in (
            ("nv_cpu_utilization", "CPU use of the host, 0 to 1, since the last scrape", usage.cpu),
            ("nv_cpu_memory_total_bytes", "Memory of the host", usage.memory_total_bytes),
            ("nv_cpu_memory_used_bytes", "Memory of the host in use", usage.memory_used_bytes),
        ):
            family = Family(name, "gauge", help_text)
            family.add({}, value)
            yield family


def _labels(model: PreparedModel) -> dict[str, str]:
    return {"model": model.served.name, "version": str(model.served.version)}


# Triton's counters of a model: name, help, value.
_COUNTERS: tuple[tuple[str, str, Callable[[PreparedModel], int]], ...] = (
    ("nv_inference_request_success", "Requests answered", lambda m: m.statistics.success.count),
    ("nv_inference_count", "Inferences done, counting rows", lambda m: m.statistics.inference_count),
    ("nv_inference_exec_count", "Executions on a device", lambda m: m.statistics.execution_count),
    (
        "nv_inference_request_duration_us",
        "Time of answered requests from arrival to answer",
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


def _model_families(models: Sequence[PreparedModel]) -> Iterator[Family]:
    for name, help_text, value in _COUNTERS:
        family = Family(name, "counter", help_text)
        for model in models:
            family.add(_labels(model), value(model))
        yield family
    failures = Family("nv_inference_request_failure", "counter", "Requests not answered, by reason")
    pending = Family("nv_inference_pending_request_count", "gauge", "Requests accepted and not yet answered")
    for model in models:
        for reason in Failure:
            count = model.statistics.failures[reason].count
            failures.add({**_labels(model), "reason": reason.value}, count)
        pending.add(_labels(model), model.pending)
    yield failures
    yield pending


def _load_durations(models: Sequence[PreparedModel], gauges: ServerGauges) -> Family:
    family = Family("nv_model_load_duration_secs", "gauge", "Time a model took to become ready")
    for model in models:
        seconds = gauges.load_seconds.get((model.served.name, model.served.version))
        if seconds is not None:
            family.add(_labels(model), seconds)
    return family


def _own_model_families(models: Sequence[PreparedModel]) -> Iterator[Family]:
    refused = Family(
        "clockwork_requests_refused_total", "counter", "Requests refused because they could not be in time"
    )
    late = Family("clockwork_requests_late_total", "counter", "Answers sent after their deadline")
    latency = Family(
        "clockwork_request_duration_seconds", "histogram", "Answered requests, from arrival to answer"
    )
    for model in models:
        labels, statistics = _labels(model), model.statistics
        refused.add(labels, statistics.failures[Failure.REJECTED].count)
        late.add(labels, statistics.late)
        latency.add_histogram(labels, statistics.latency, _NS_PER_S)
    return iter((refused, late, latency))


def _worker_families(gauges: ServerGauges) -> Iterator[Family]:
    actions = Family("clockwork_actions_total", "counter", "Actions done by a worker, by kind")
    refused = Family("clockwork_actions_refused_total", "counter", "Actions that a worker did not do")
    up = Family("clockwork_worker_up", "gauge", "1 while the worker of a device is there, else 0")
    restarts = Family("clockwork_worker_restarts_total", "counter", "How often a lost worker came back")
    used = Family("clockwork_device_memory_used_bytes", "gauge", "Device memory that holds weights")
    limit = Family("clockwork_device_memory_limit_bytes", "gauge", "Device memory set aside for weights")
    for worker in gauges.workers:
        labels = {"worker": worker.worker, "device": worker.device}
        for kind, count in (("LOAD", worker.loads), ("UNLOAD", worker.unloads), ("INFER", worker.infers)):
            actions.add({**labels, "action": kind}, count)
        refused.add(labels, worker.refused)
        up.add(labels, int(worker.up))
        restarts.add(labels, worker.restarts)
        used.add(labels, worker.memory_used_bytes)
        limit.add(labels, worker.memory_limit_bytes)
    return iter((actions, refused, up, restarts, used, limit))


def _prediction_errors(gauges: ServerGauges) -> Family:
    family = Family(
        "clockwork_prediction_error_seconds",
        "histogram",
        "How far an action's measured time was from its prediction",
    )
    for (action, direction), histogram in gauges.prediction_errors.items():
        family.add_histogram({"action": action, "direction": direction}, histogram, _NS_PER_S)
    return family
