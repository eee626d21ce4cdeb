"""A model version as clients see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.repository.queue_policy import ANY_REQUEST, QueuePolicies
from clockwork_triton.repository.sequence import SequencePlan


class State(Enum):
    """Triton's states of a model version in the repository index."""

    UNKNOWN = "UNKNOWN"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True)
class MemoryUse:
    """`kind` "CPU" or "GPU", and its number."""

    kind: str
    number: int
    bytes: int


@dataclass(frozen=True)
class EnsembleStep:
    """`inputs` and `outputs`: by the model's tensor, that of the ensemble. `version` "": the latest."""

    model: str
    version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class EnsemblePlan:
    steps: tuple[EnsembleStep, ...]


@dataclass(frozen=True)
class ServedModel:
    """A version that is READY: what the data plane needs to check and run a request.

    `config` is tritonclient's ModelConfig message, completed. `inputs` and `outputs` are in the order of the
    artifact (row shapes without the batch dimension, all fixed). `model_id` names it to the engine: a model
    that was replaced has a new one. `batch_sizes`: what one inference can hold, ascending; a request with
    more rows (up to `max_batch_size`) is run in parts. `labels`: by output name, the lines of its label file.
    `runtime`: "tvm", or what runs a model that is not compiled; then dimensions may be -1, and `seen_shapes`
    are those of the inputs that the model sees otherwise than clients do. `sequence`: how a request's place
    in a sequence is told the model. `memory`: what it takes of devices while it is resident. `ensemble`: its
    steps; the engine knows nothing of such a model.
    """

    name: str
    version: int
    model_id: int
    config: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    queue: QueuePolicies = ANY_REQUEST
    batch_sizes: tuple[int, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    runtime: str = "tvm"
    seen_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    memory: tuple[MemoryUse, ...] = ()
    sequence: SequencePlan | None = None
    ensemble: EnsemblePlan | None = None


@dataclass(frozen=True)
class IndexEntry:
    """A line of the repository index. `version` "" and state UNKNOWN: known by its directory alone."""

    name: str
    version: str
    state: State
    reason: str = ""
