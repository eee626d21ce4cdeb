"""What each field of ModelConfig does here: it is used, it has no effect, or its model is refused.

Triton's schema has more than this server can honour. A field that would change answers is refused with the
reason; one that only tunes Triton is accepted and named in one line of the log. No field is passed over:
a test holds the table against the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.message import Message

from clockwork_triton.repository.config import invalid


class Kind(Enum):
    USED = "used"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclass(frozen=True)
class Effect:
    """`reason` says why a field is refused or has no effect. `unless`: the value that asks for nothing."""

    kind: Kind
    reason: str = ""
    unless: object = None


USED = Effect(Kind.USED)


def _no_effect(reason: str, unless: object = None) -> Effect:
    return Effect(Kind.NO_EFFECT, reason, unless)


def _refused(reason: str) -> Effect:
    return Effect(Kind.REFUSED, reason)


_COMPILED = _no_effect("models are compiled, not interpreted")
_ONE_AT_A_TIME = _no_effect("a device runs one inference at a time")
_SCHEDULED = _no_effect("the controller schedules by predicted running times")

# By path; a path stands for everything under it.
FIELDS: Mapping[str, Effect] = {
    "name": USED,
    "platform": USED,
    "backend": USED,
    "runtime": _no_effect("there is one runtime"),
    "version_policy": USED,
    "max_batch_size": USED,
    "input.name": USED,
    "input.data_type": USED,
    "input.format": USED,
    "input.dims": USED,
    "input.reshape": USED,
    "input.is_shape_tensor": USED,
    "input.allow_ragged_batch": _refused("ragged batches are not supported"),
    "input.optional": USED,
    "input.is_non_linear_format_io": USED,
    "output.name": USED,
    "output.data_type": USED,
    "output.dims": USED,
    "output.reshape": USED,
    "output.label_filename": USED,
    "output.is_shape_tensor": USED,
    "output.is_non_linear_format_io": USED,
    "batch_input": _refused("inputs made from the batch are not supported"),
    "batch_output": _refused("outputs scattered over the batch are not supported"),
    "optimization.graph": _COMPILED,
    "optimization.priority": _SCHEDULED,
    "optimization.cuda": _COMPILED,
    "optimization.execution_accelerators": _COMPILED,
    "optimization.input_pinned_memory": _no_effect("memory is pinned where the device profits"),
    "optimization.output_pinned_memory": _no_effect("memory is pinned where the device profits"),
    "optimization.gather_kernel_buffer_threshold": _COMPILED,
    "optimization.eager_batching": _SCHEDULED,
    "dynamic_batching.preferred_batch_size": _SCHEDULED,
    "dynamic_batching.max_queue_delay_microseconds": _SCHEDULED,
    "dynamic_batching.preserve_ordering": _SCHEDULED,
    "dynamic_batching.priority_levels": USED,
    "dynamic_batching.default_priority_level": USED,
    "dynamic_batching.default_queue_policy.timeout_action": USED,
    "dynamic_batching.default_queue_policy.default_timeout_microseconds": USED,
    "dynamic_batching.default_queue_policy.allow_timeout_override": USED,
    "dynamic_batching.default_queue_policy.max_queue_size": USED,
    "dynamic_batching.priority_queue_policy": USED,
    "sequence_batching.direct": _SCHEDULED,
    "sequence_batching.oldest": _SCHEDULED,
    "sequence_batching.max_sequence_idle_microseconds": USED,
    "sequence_batching.control_input": USED,
    "sequence_batching.state.input_name": USED,
    "sequence_batching.state.output_name": USED,
    "sequence_batching.state.data_type": USED,
    "sequence_batching.state.dims": USED,
    "sequence_batching.state.initial_state": USED,
    "sequence_batching.state.use_same_buffer_for_input_output": _no_effect("states are kept by the server"),
    "sequence_batching.state.use_growable_memory": _no_effect("states are kept by the server"),
    "sequence_batching.iterative_sequence": _refused(
        "iterative sequences are not supported: an ONNX model asks for no further run"
    ),
    "ensemble_scheduling.step.model_name": USED,
    "ensemble_scheduling.step.model_version": USED,
    "ensemble_scheduling.step.input_map": USED,
    "ensemble_scheduling.step.output_map": USED,
    "ensemble_scheduling.step.model_namespace": _refused("every model needs a name of its own"),
    "ensemble_scheduling.max_inflight_requests": _no_effect("no step answers more than once"),
    "instance_group.name": USED,
    "instance_group.kind": USED,
    "instance_group.count": _no_effect("a device runs one inference at a time", unless=1),
    "instance_group.rate_limiter": _ONE_AT_A_TIME,
    "instance_group.gpus": USED,
    "instance_group.secondary_devices": _ONE_AT_A_TIME,
    "instance_group.profile": USED,
    "instance_group.passive": _ONE_AT_A_TIME,
    "instance_group.host_policy": _ONE_AT_A_TIME,
    "default_model_filename": USED,
    "cc_model_filenames": _no_effect("the default model file serves every compute capability"),
    "metric_tags": USED,
    "parameters": USED,
    "model_warmup": USED,
    "model_operations.op_library_filename": _refused("libraries of custom operators cannot be loaded"),
    "model_transaction_policy.decoupled": _refused(
        "decoupled models are not supported: an ONNX model answers once"
    ),
    "model_repository_agents.agents": _refused("repository agents are not supported"),
    "response_cache.enable": USED,
    "model_metrics": _no_effect("histograms have the server's own buckets"),
}

# `slo_ms` and `precision` are ours; the rest is what Triton's ONNX Runtime backend reads.
USED_PARAMETERS = frozenset({"slo_ms", "precision"})


def notices(config: Any) -> tuple[str, ...]:
    """One sentence a reason for what a configuration asks and does not get, answers being the same.

    ServerError for a field whose neglect would change answers.
    """
    without: dict[str, list[str]] = {}
    for path, value in _set_fields(config):
        effect = FIELDS[path]
        if effect.kind is Kind.REFUSED:
            raise invalid(f"'{path}' of model '{config.name}': {effect.reason}")
        if effect.kind is Kind.NO_EFFECT and value != effect.unless:
            paths = without.setdefault(effect.reason, [])
            if path not in paths:
                paths.append(path)
    if unknown := sorted(set(config.parameters) - USED_PARAMETERS):
        without["no such parameter is known"] = [f"parameters {key}" for key in unknown]
    return tuple(f"{', '.join(paths)}: no effect, {reason}" for reason, paths in without.items())


def _set_fields(message: Message, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that is set and has an entry of its own in the table, with its value."""
    for descriptor, value in message.ListFields():
        path = f"{prefix}{descriptor.name}"
        if path in FIELDS:
            yield path, value
        else:
            for part in value if descriptor.is_repeated else (value,):
                yield from _set_fields(part, f"{path}.")
