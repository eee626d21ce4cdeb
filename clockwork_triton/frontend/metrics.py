"""Everything on :8002/metrics: Triton's nv_* names and labels, and what only this server can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.exposition import Family, exposition
from clockwork_triton.frontend.gpu_metrics import gpu_families
from clockwork_triton.frontend.gpu_sampler import GpuSampler
from clockwork_triton.frontend.host import HostSampler
from clockwork_triton.frontend.model_metrics import labels_of, model_families, own_model_families
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.telemetry.gauges import ServerGauges
from clockwork_triton.telemetry.stages import STAGE_QUANTILES

STAGE_METRIC = "clockwork_stage_seconds"
_NS_PER_S = 1e9


class Metrics:
    """`gauges` gives the state of what is behind the front end at the moment of a scrape, `gpus` that of the
    GPUs, where there are some, as last sampled."""

    def __init__(
        self,
        plane: DataPlane,
        gauges: Callable[[], ServerGauges] = ServerGauges,
        host: HostSampler | None = None,
        gpus: GpuSampler | None = None,
    ) -> None:
        self._plane = plane
        self._gauges = gauges
        self._host = host or HostSampler()
        self._gpus = gpus

    async def sample(self) -> None:
        """To be called before `render`: brings up to date what takes long to be asked for."""
        if self._gpus is not None:
            await self._gpus.sample()

    def render(self) -> str:
        """The Prometheus text of this moment."""
        gauges = self._gauges()
        models = self._plane.models()
        return exposition(
            [
                *model_families(models, self._plane.clock(), self._plane.latencies),
                _load_durations(models, gauges),
                *self._host_families(),
                *(gpu_families(self._gpus.states) if self._gpus is not None else ()),
                *own_model_families(models),
                *_worker_families(gauges),
                _prediction_errors(gauges),
                _stages(gauges),
                _longest_turn(gauges),
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


def _load_durations(models: Sequence[PreparedModel], gauges: ServerGauges) -> Family:
    family = Family("nv_model_load_duration_secs", "gauge", "Time a model took to become ready")
    for model in models:
        seconds = gauges.load_seconds.get((model.served.name, model.served.version))
        if seconds is not None:
            family.add(labels_of(model), seconds)
    return family


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


def _stages(gauges: ServerGauges) -> Family:
    family = Family(
        STAGE_METRIC,
        "gauge",
        "Where the time of the gRPC requests answered last went, by stage",
    )
    for stage, values in gauges.stages.items():
        for quantile, value in zip(STAGE_QUANTILES, values, strict=True):
            family.add({"stage": stage, "quantile": repr(quantile)}, value / _NS_PER_S)
    return family


def _longest_turn(gauges: ServerGauges) -> Family:
    family = Family(
        "clockwork_loop_longest_turn_seconds",
        "gauge",
        "The longest the event loop was busy without a look at its sockets, since the last scrape",
    )
    family.add({}, gauges.longest_turn_ns / _NS_PER_S)
    return family
