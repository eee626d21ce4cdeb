"""What the repository and its counters look like as messages of the gRPC protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonclient.grpc import service_pb2

from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.shapes import TensorRule
from clockwork_triton.repository.model import IndexEntry, State
from clockwork_triton.telemetry.statistics import Duration


def model_metadata(model: PreparedModel, versions: Sequence[int]) -> Any:
    """A ModelMetadataResponse; shapes have the batch dimension, -1, where the model batches."""
    config = model.served.config
    batches = model.served.max_batch_size > 0
    return service_pb2.ModelMetadataResponse(
        name=model.served.name,
        versions=[str(version) for version in versions],
        platform=config.platform or config.backend,
        inputs=[_tensor(rule, batches) for rule in model.checker.inputs],
        outputs=[_tensor(rule, batches) for rule in model.checker.outputs],
    )


def model_statistics(model: PreparedModel, epoch_offset_ns: int) -> Any:
    """A ModelStatistics. `epoch_offset_ns` leads from the server's clock to the time since 1970."""
    stats = model.statistics
    message = service_pb2.ModelStatistics(
        name=model.served.name,
        version=str(model.served.version),
        inference_count=stats.inference_count,
        execution_count=stats.execution_count,
    )
    if stats.success.count:
        message.last_inference = (stats.last_inference_ns + epoch_offset_ns) // 1_000_000
    for use in model.served.memory:
        message.memory_usage.add(type=use.kind, id=use.number, byte_size=use.bytes)
    durations = message.inference_stats
    _fill(durations.success, stats.success)
    _fill(durations.fail, stats.fail)
    for name in ("queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"):
        _fill(getattr(durations, name), getattr(stats, name))
    for size, batch in sorted(stats.batches.items()):
        entry = message.batch_stats.add(batch_size=size)
        for name in ("compute_input", "compute_infer", "compute_output"):
            _fill(getattr(entry, name), getattr(batch, name))
    return message


def repository_index(entries: Sequence[IndexEntry]) -> Any:
    """A RepositoryIndexResponse."""
    response = service_pb2.RepositoryIndexResponse()
    for entry in entries:
        state = "" if entry.state is State.UNKNOWN else entry.state.value
        response.models.add(name=entry.name, version=entry.version, state=state, reason=entry.reason)
    return response


def _tensor(rule: TensorRule, batches: bool) -> Any:
    shape = (-1, *rule.dims) if batches else rule.dims
    return service_pb2.ModelMetadataResponse.TensorMetadata(
        name=rule.name, datatype=rule.datatype, shape=shape
    )


def _fill(message: Any, duration: Duration) -> None:
    # Set even where both are zero, so that the message is there.
    message.SetInParent()
    message.count, message.ns = duration.count, duration.ns
