"""A device that does nothing for as long as another one would have worked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clockwork_triton.artifact import Manifest, Profile
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.device import DeviceOptions, Registered, UnsuitableModel
from clockwork_triton.worker.suitability import check_fit


@dataclass(frozen=True)
class _Model:
    facts: Registered
    load_ns: int
    infer_ns: dict[int, int]


class EmulatedDevice:
    """See Device. Takes the median times of the profile that the artifact has of `kind`.

    Needs no kernels and no weights, takes no memory, and leaves the outputs in the slot as they are. It
    overlaps, as the GPUs do that it stands for.
    """

    overlaps = True
    lost = False
    clock_mhz = 0

    def __init__(self, options: DeviceOptions, kind: str) -> None:
        self.kind = kind
        self.page_bytes = options.page_bytes
        self.pages = options.memory_bytes // options.page_bytes
        self.workspace_bytes = options.workspace_bytes
        self._slot_bytes = options.slot_bytes
        self._models: dict[int, _Model] = {}

    def register(self, model_id: int, artifact: Path) -> Iterator[None]:
        manifest = Manifest.read(artifact)
        if not manifest.compiled:
            raise UnsuitableModel(f"it runs on {manifest.runtime}, of which there is nothing to emulate")
        check_fit(
            manifest,
            page_bytes=self.page_bytes,
            pages=self.pages,
            workspace_bytes=self.workspace_bytes,
            slot_bytes=self._slot_bytes,
        )
        yield
        profile = Profile.read(artifact, self.kind)
        if profile is None:
            raise UnsuitableModel(f"it has no profile for {self.kind}, whose times are to be emulated")
        segments = tuple(segment.pages for segment in manifest.segments)
        facts = Registered(segments, frozenset(profile.infer), manifest)
        infer_ns = {size: times.p50_ns for size, times in profile.infer.items()}
        self._models[model_id] = _Model(facts, profile.load.p50_ns, infer_ns)

    def registered(self, model_id: int) -> Registered | None:
        model = self._models.get(model_id)
        return None if model is None else model.facts

    def unregister(self, model_id: int) -> Iterator[None]:
        self._models.pop(model_id, None)
        yield from ()

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        return _sleep(self._models[model_id].load_ns)

    def expect(self, model_id: int, batch_size: int, slot: int) -> None:
        """There is nothing to bring."""

    def infer(self, model_id: int, batch_size: int, slot: int) -> Stages:
        return _sleep(self._models[model_id].infer_ns[batch_size])

    def close(self) -> None:
        self._models.clear()


def _sleep(duration_ns: int) -> Stages:
    begin_ns = time.monotonic_ns()
    time.sleep(duration_ns / 1e9)
    return Stages(begin_ns, time.monotonic_ns())
