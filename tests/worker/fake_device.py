"""A device that only keeps what it was told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clockwork_triton.artifact import Manifest, Variant
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.device import Outputs, Registered, UnsuitableModel

MANIFEST = Manifest(
    name="fake",
    target="cpu",
    max_batch_size=2,
    inputs=(TensorSpec("a", "uint8", (3,)), TensorSpec("b", "uint8", (2,))),
    outputs=(TensorSpec("c", "uint8", (4,)),),
    page_bytes=4096,
    segments=(),
    variants={size: Variant(size, 0, (), ()) for size in (1, 2)},
    origin={},
)


class FakeDevice:
    """Models have two segments, of one page and two, and batch sizes 1 and 2."""

    kind = "fake"
    overlaps = False
    lost = False
    clock_mhz = 1410
    pages = 8
    page_bytes = 4096
    workspace_bytes = 4096

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.fails_with: Exception | None = None
        self.dies = False
        """Whether it is lost when it fails."""
        self._models: dict[int, Registered] = {}

    def register(self, model_id: int, artifact: Path) -> Iterator[None]:
        self.calls.append(("register", model_id, artifact))
        yield
        if artifact == Path("unsuitable"):
            raise UnsuitableModel("it is too large")
        self.lost = self.dies
        if self.dies:
            raise RuntimeError("an illegal address")
        self._models[model_id] = Registered((1, 2), frozenset({1, 2}), MANIFEST)

    def registered(self, model_id: int) -> Registered | None:
        return self._models.get(model_id)

    def unregister(self, model_id: int) -> Iterator[None]:
        self.calls.append(("unregister", model_id))
        yield
        self._models.pop(model_id, None)

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        return self._do("load", model_id, tuple(first_pages))

    def expect(self, model_id: int, batch_size: int, slot: int) -> None:
        self.calls.append(("expect", model_id, batch_size, slot))

    def infer(self, model_id: int, batch_size: int, slot: int) -> Stages | Outputs:
        stages = self._do("infer", model_id, batch_size, slot)
        return FakeOutputs(self, stages) if self.overlaps else stages

    def close(self) -> None:
        self.calls.append(("close",))

    def _do(self, *call: object) -> Stages:
        self.calls.append(call)
        if self.fails_with is not None:
            self.lost = self.dies
            raise self.fails_with
        return Stages(100 * len(self.calls), 100 * len(self.calls) + 50)


@dataclass(frozen=True)
class FakeOutputs:
    """Outputs that are there when they are waited for, unless the device fails first."""

    device: FakeDevice
    stages: Stages

    def wait(self) -> Stages:
        if self.device.fails_with is not None:
            raise self.device.fails_with
        return self.stages._replace(output_begin_ns=self.stages.end_ns, output_end_ns=self.stages.end_ns + 5)
