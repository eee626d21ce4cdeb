"""The manifest of an artifact: everything a worker needs to run it, as data.

An artifact is a directory:

    manifest.json               this
    kernels.so                  the compiled kernels of every batch size
    kernels.cubin, kernels.cu   in its place for a GPU: the device code, and what it was compiled from
    weights.bin                 the weights, one copy for all batch sizes, in segments
    profile-<device kind>.json  measured INFER and LOAD times

A variant (one batch size) is a list of steps, each a kernel of `kernels.so` applied to tensors whose
places were all decided at conversion. So a worker allocates nothing and decides nothing.

What cannot be compiled is kept as it is: such an artifact holds `model.onnx` in place of kernels and weights,
`runtime` names the host runtime that runs it, and its variants have no steps. Dimensions of its tensors may
be -1: each request brings its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from clockwork_triton.datatypes import TensorSpec

FORMAT = 1
ALIGNMENT = 64

COMPILED = "tvm"
"""The runtime of an artifact that has kernels."""

MODEL_FILENAME = "model.onnx"
"""The file of an artifact that is not compiled."""

Space = Literal["weight", "workspace", "input", "output"]


@dataclass(frozen=True)
class Segment:
    """A run of device pages holding whole tensors; `file_offset` is a multiple of 4096 in weights.bin."""

    file_offset: int
    bytes: int
    pages: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor in one of the four memories.

    `index` is the segment, the input or the output; 0 for the workspace. `offset` is in bytes, from the
    beginning of that segment, workspace, input or output.
    """

    space: Space
    index: int
    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One kernel call. `args` index the variant's tensors, inputs first, then the outputs written."""

    kernel: str
    args: tuple[int, ...]


@dataclass(frozen=True)
class Launch:
    """One launch of a device function. `args`: the positions, in the step's arguments, of those it takes."""

    function: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int
    args: tuple[int, ...]


@dataclass(frozen=True)
class Variant:
    """The program of one batch size."""

    batch_size: int
    workspace_bytes: int
    tensors: tuple[TensorRef, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Slot:
    """Where the inputs and outputs of one batch lie in an I/O slot, as byte offsets in tensor order."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    bytes: int


def lay_out(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], rows: int) -> Slot:
    """Where the tensors of a batch of so many rows lie."""
    offset = 0
    places: list[int] = []
    for tensor in (*inputs, *outputs):
        places.append(offset)
        offset += -(-tensor.row_bytes * rows // ALIGNMENT) * ALIGNMENT
    split = len(inputs)
    return Slot(tuple(places[:split]), tuple(places[split:]), offset)


@dataclass(frozen=True)
class Manifest:
    """See the module's text. `max_batch_size` 0: the model does not batch, and shapes are literal."""

    name: str
    target: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    page_bytes: int
    segments: tuple[Segment, ...]
    variants: Mapping[int, Variant]
    origin: Mapping[str, str]
    """What determined the artifact: hash of the ONNX bytes, options, versions."""
    cpu_features: tuple[str, ...] = ()
    """The instruction sets that the kernels may use, as /proc/cpuinfo names them."""
    runtime: str = COMPILED
    """"tvm", or the host runtime that runs `model.onnx`."""
    reason: str = ""
    """Why the model is not compiled; empty where it is."""
    filler: str = "0"
    """What every element of a test input is: a text that reads as a number, for tensors that hold numbers."""
    gpu_arch: str = ""
    """The architecture that kernels.cubin is made for, such as sm_90; empty where there is none."""
    launches: Mapping[str, tuple[Launch, ...]] = field(default_factory=dict)
    """On a GPU, what running a kernel means, by its name."""

    @property
    def compiled(self) -> bool:
        return self.runtime == COMPILED

    @property
    def kernels_file(self) -> str:
        """The file of the compiled kernels."""
        return "kernels.cubin" if self.gpu_arch else "kernels.so"

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sorted(self.variants))

    @property
    def weight_bytes(self) -> int:
        return sum(segment.bytes for segment in self.segments)

    @property
    def pages(self) -> int:
        return sum(segment.pages for segment in self.segments)

    @property
    def workspace_bytes(self) -> int:
        return max(variant.workspace_bytes for variant in self.variants.values())

    def slot(self, batch_size: int) -> Slot:
        """The layout of an I/O slot for `batch_size` rows, the same on both sides of the transport."""
        if batch_size not in self._slots:
            self._slots[batch_size] = lay_out(self.inputs, self.outputs, batch_size)
        return self._slots[batch_size]

    @cached_property
    def _slots(self) -> dict[int, Slot]:
        """Every request asks for the layout of its batch."""
        return {}

    def to_json(self) -> str:
        document = asdict(self)
        document["variants"] = {str(size): asdict(variant) for size, variant in self.variants.items()}
        return json.dumps({"format": FORMAT, **document})

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Inverse of `to_json`. ValueError if the text is not a manifest of this format."""
        try:
            document = json.loads(text)
            if document.pop("format") != FORMAT:
                raise ValueError("the artifact has another format version")
            document["inputs"] = tuple(_tensor_spec(t) for t in document["inputs"])
            document["outputs"] = tuple(_tensor_spec(t) for t in document["outputs"])
            document["segments"] = tuple(Segment(**s) for s in document["segments"])
            document["cpu_features"] = tuple(document.get("cpu_features", ()))
            document["variants"] = {int(k): _variant(v) for k, v in document["variants"].items()}
            document["launches"] = {
                kernel: tuple(_launch(launch) for launch in launches)
                for kernel, launches in document.get("launches", {}).items()
            }
            return cls(**document)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not an artifact manifest: {error}") from error

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        return cls.from_json((directory / "manifest.json").read_text())


def _tensor_spec(document: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(document["name"], document["dtype"], tuple(document["shape"]))


def _launch(document: Mapping[str, Any]) -> Launch:
    return Launch(
        document["function"],
        _dim3(document["grid"]),
        _dim3(document["block"]),
        document["shared_bytes"],
        tuple(document["args"]),
    )


def _dim3(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = values
    return x, y, z


def _variant(document: Mapping[str, Any]) -> Variant:
    return Variant(
        document["batch_size"],
        document["workspace_bytes"],
        tuple(
            TensorRef(t["space"], t["index"], t["offset"], t["dtype"], tuple(t["shape"]))
            for t in document["tensors"]
        ),
        tuple(Step(s["kernel"], tuple(s["args"])) for s in document["steps"]),
    )
