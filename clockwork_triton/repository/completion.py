"""Completes a configuration from the ONNX file, as Triton and its ONNX Runtime backend do.

Auto-completion (onnxruntime_backend: AutoCompleteConfig) runs only where the input or the output section is
missing. Normalisation (core: NormalizeModelConfig) always does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.datatypes import NUMPY_TO_WIRE
from clockwork_triton.repository.config import ENSEMBLE_PLATFORM, invalid
from clockwork_triton.repository.sequence import DEFAULT_IDLE_US

DEFAULT_MAX_BATCH_SIZE = 4


def auto_complete(
    config: Any,
    signature: Signature,
    default_max_batch_size: int = DEFAULT_MAX_BATCH_SIZE,
    hidden: Collection[str] = (),
) -> Any:
    """A copy of `config` with its missing sections filled from the file's tensors, but for those `hidden`
    from clients."""
    completed = ModelConfig()
    completed.CopyFrom(config)
    if config.input and config.output:
        return completed
    if signature.batches:
        if completed.max_batch_size == 0:
            completed.max_batch_size = max(default_max_batch_size, 0)
        if completed.max_batch_size > 1 and not completed.HasField("sequence_batching"):
            completed.dynamic_batching.SetInParent()
    elif completed.max_batch_size != 0:
        raise invalid(
            f"autofill failed for model '{config.name}': model does not support batching while non-zero "
            "max_batch_size is specified"
        )
    if not config.input:
        _fill(completed.input, [t for t in signature.inputs if t.name not in hidden], completed)
    if not config.output:
        _fill(completed.output, [t for t in signature.outputs if t.name not in hidden], completed)
    return completed


def _fill(section: Any, tensors: Sequence[SignatureTensor], config: Any) -> None:
    batches = config.max_batch_size > 0
    for tensor in tensors:
        if tensor.shape is None:
            raise invalid(
                f"autofill failed for model '{config.name}': the file does not tell the shape of "
                f"'{tensor.name}'; describe the inputs and outputs in config.pbtxt"
            )
        io = section.add(name=tensor.name, data_type=model_type(tensor.dtype))
        dims = tensor.shape[1:] if batches else tensor.shape
        io.dims.extend(dims or (1,))
        if batches and not dims:
            io.reshape.SetInParent()


def model_type(dtype: str) -> int:
    """The model_config.proto DataType of a numpy type name; TYPE_INVALID if it has none."""
    wire = NUMPY_TO_WIRE.get(dtype, "INVALID")
    return int(DataType.Value("TYPE_STRING" if wire == "BYTES" else f"TYPE_{wire}"))


def normalise(config: Any, gpus: Collection[int] = ()) -> None:
    """Fills in place what Triton shows filled: policy, preferred sizes, pinned memory, instance groups, how
    long a sequence may idle. An ensemble has no instances of its own."""
    if config.version_policy.WhichOneof("policy_choice") is None:
        config.version_policy.latest.num_versions = 1
    if config.platform == ENSEMBLE_PLATFORM:
        return
    if config.HasField("sequence_batching"):
        batching = config.sequence_batching
        batching.max_sequence_idle_microseconds = batching.max_sequence_idle_microseconds or DEFAULT_IDLE_US
        if batching.WhichOneof("strategy_choice") is None:
            batching.direct.SetInParent()
    if config.HasField("dynamic_batching"):
        preferred = config.dynamic_batching.preferred_batch_size
        if not preferred and config.max_batch_size > 0:
            preferred.append(config.max_batch_size)
    for buffer in ("input_pinned_memory", "output_pinned_memory"):
        if not config.optimization.HasField(buffer):
            getattr(config.optimization, buffer).enable = True
    if not config.instance_group:
        config.instance_group.add(name=config.name)
    for index, group in enumerate(config.instance_group):
        group.name = group.name or f"{config.name}_{index}"
        group.count = max(group.count, 1)
        if group.kind == ModelInstanceGroup.KIND_AUTO:
            there = bool(gpus) and all(gpu in gpus for gpu in group.gpus)
            group.kind = ModelInstanceGroup.KIND_GPU if there else ModelInstanceGroup.KIND_CPU
        if group.kind == ModelInstanceGroup.KIND_GPU and not group.gpus:
            group.gpus.extend(sorted(gpus))
