"""What the repository needs done to a model version before it can serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clockwork_triton.artifact.signature import Signature
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.repository.model import MemoryUse
from clockwork_triton.repository.sequence import SequencePlan
from clockwork_triton.repository.warmup import WarmupSample


@dataclass(frozen=True)
class ModelSource:
    """One version on disk with its completed configuration (tritonclient's ModelConfig).

    `shapes`: by input name, the fixed shape that the model sees, without the batch dimension where it
    batches. The order of inputs and outputs is the configuration's, those of `sequence` follow.
    """

    name: str
    version: int
    onnx: Path
    config: Any
    shapes: Mapping[str, tuple[int, ...]]
    sequence: SequencePlan | None = None
    warmup: tuple[WarmupSample, ...] = ()


@dataclass(frozen=True)
class LoadedModel:
    """A version the engine can run.

    `inputs` and `outputs` have the shapes that the model sees, without the batch dimension where it batches.
    `infer_ns` by batch size and `load_ns` are the predictions at this moment, `weight_bytes` what it takes
    of the device's memory while it is resident (whole pages), `workspace_bytes` of the shared workspace.
    `runtime` "tvm": it is compiled; else `reason` says why not, and open dimensions of its tensors are -1.
    """

    model_id: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    infer_ns: Mapping[int, int]
    load_ns: int
    weight_bytes: int
    workspace_bytes: int
    artifact: Path
    runtime: str = "tvm"
    reason: str = ""
    memory: tuple[MemoryUse, ...] = ()

    @property
    def note(self) -> str:
        """What is to be known of how the version runs; nothing where it is compiled."""
        return f"runs on {self.runtime}: {self.reason}" if self.reason else ""


class ModelLoader(Protocol):
    """Every method raises ServerError with a reason that a user can act on."""

    async def inspect(self, onnx: Path) -> Signature:
        """Reads the declared tensors, in a child process: the file may be hostile."""
        ...

    async def convert(self, source: ModelSource) -> Path:
        """The version's artifact, from the cache or made anew. Any number may be asked for at once."""
        ...

    async def load(self, source: ModelSource, artifact: Path) -> LoadedModel:
        """Registers with the workers, profiles, and has it answer its warmup samples.

        Cancelled, it leaves nothing behind.
        """
        ...

    async def retire(self, model_id: int) -> None:
        """Lets requests under way finish, then frees everything of the model."""
        ...
