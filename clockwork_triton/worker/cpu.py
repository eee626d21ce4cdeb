"""The CPU as a device: its memory is one anonymous mapping, its I/O slots are worked in where they lie."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clockwork_triton.artifact import Manifest, Variant
from clockwork_triton.artifact.anonymous import AnonymousMemory, Bytes
from clockwork_triton.artifact.cpu_features import host_features
from clockwork_triton.artifact.program import Memory, Program, load_kernels, load_runtime
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.cpu_kind import cpu_kind
from clockwork_triton.worker.device import DeviceOptions, Registered
from clockwork_triton.worker.suitability import check_cpu, check_fit

# Pages of the weights file that are read in one piece of a registration: 4 MiB.
_READ_PAGES = 1024


@dataclass(frozen=True)
class _Bound:
    """A variant's program. `tensors`: the memory of each input and output, and its offset in the slot."""

    program: Program
    tensors: tuple[tuple[Memory, int], ...]


@dataclass(frozen=True)
class _Model:
    manifest: Manifest
    facts: Registered
    weights: Bytes
    segments: tuple[Memory, ...]
    variants: dict[int, _Bound]


class CpuDevice:
    """See Device. Kernels run on the calling thread, and the further ones that they were compiled for."""

    overlaps = False
    lost = False
    clock_mhz = 0

    def __init__(self, options: DeviceOptions) -> None:
        assert options.slot_bytes % mmap.PAGESIZE == 0
        assert options.page_bytes % mmap.PAGESIZE == 0
        load_runtime()
        self.kind = cpu_kind(options.threads)
        self._features = host_features()
        self.page_bytes = options.page_bytes
        self.pages = options.memory_bytes // options.page_bytes
        self.workspace_bytes = options.workspace_bytes
        self._slot_bytes = options.slot_bytes
        _check_available(options.memory_bytes)
        self._arena = AnonymousMemory(self.pages * self.page_bytes)
        self._workspace = AnonymousMemory(options.workspace_bytes)
        self._slots = np.frombuffer(mmap.mmap(options.io_fd, options.slots * options.slot_bytes), np.uint8)
        self._io_address = self._slots.ctypes.data
        self._models: dict[int, _Model] = {}

    def register(self, model_id: int, artifact: Path) -> Iterator[None]:
        manifest = Manifest.read(artifact)
        check_cpu(manifest, self._features)
        check_fit(
            manifest,
            page_bytes=self.page_bytes,
            pages=self.pages,
            workspace_bytes=self.workspace_bytes,
            slot_bytes=self._slot_bytes,
        )
        yield
        kernels = load_kernels(artifact)
        yield
        segments = tuple(Memory(self._arena.address) for _ in manifest.segments)
        workspace = Memory(self._workspace.address)
        variants = {}
        for size, variant in manifest.variants.items():
            variants[size] = self._bind(kernels, manifest, variant, segments, workspace)
            yield
        weights = _file(artifact / "weights.bin") if segments else np.empty(0, np.uint8)
        if manifest.segments and len(weights) < max(s.file_offset + s.bytes for s in manifest.segments):
            raise ValueError("weights.bin is shorter than the manifest says")
        for begin in range(0, len(weights), _READ_PAGES * mmap.PAGESIZE):
            # Touching each page brings the file into memory, so that no LOAD waits for a disk.
            weights[begin : begin + _READ_PAGES * mmap.PAGESIZE : mmap.PAGESIZE].max()
            yield
        # Only what the models at hand need is taken from the system: a GiB takes seconds on some machines,
        # and a worker that is started again has requests waiting. The controller uses the first pages first.
        known = (model.manifest for model in self._models.values())
        pages = min(self.pages, sum(m.pages for m in (manifest, *known)))
        yield from self._arena.provide(pages * self.page_bytes)
        yield from self._workspace.provide(manifest.workspace_bytes)
        facts = Registered(tuple(s.pages for s in manifest.segments), frozenset(variants), manifest)
        self._models[model_id] = _Model(manifest, facts, weights, segments, variants)

    def _bind(
        self,
        kernels: Any,
        manifest: Manifest,
        variant: Variant,
        segments: Sequence[Memory],
        workspace: Memory,
    ) -> _Bound:
        layout = manifest.slot(variant.batch_size)
        inputs = [Memory(self._io_address) for _ in layout.inputs]
        outputs = [Memory(self._io_address) for _ in layout.outputs]
        program = Program(
            kernels, variant, weights=segments, workspace=workspace, inputs=inputs, outputs=outputs
        )
        tensors = zip((*inputs, *outputs), (*layout.inputs, *layout.outputs), strict=True)
        return _Bound(program, tuple(tensors))

    def registered(self, model_id: int) -> Registered | None:
        model = self._models.get(model_id)
        return None if model is None else model.facts

    def unregister(self, model_id: int) -> Iterator[None]:
        self._models.pop(model_id, None)
        yield from ()

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        begin_ns = time.monotonic_ns()
        model = self._models[model_id]
        for segment, memory, first in zip(model.manifest.segments, model.segments, first_pages, strict=True):
            place = first * self.page_bytes
            source = model.weights[segment.file_offset : segment.file_offset + segment.bytes]
            np.copyto(self._arena.bytes[place : place + segment.bytes], source)
            memory.move(self._arena.address + place)
        return Stages(begin_ns, time.monotonic_ns())

    def expect(self, model_id: int, batch_size: int, slot: int) -> None:
        """The inputs are where they are needed."""

    def infer(self, model_id: int, batch_size: int, slot: int) -> Stages:
        begin_ns = time.monotonic_ns()
        bound = self._models[model_id].variants[batch_size]
        base = self._io_address + slot * self._slot_bytes
        for memory, offset in bound.tensors:
            memory.move(base + offset)
        bound.program.run()
        return Stages(begin_ns, time.monotonic_ns())

    def close(self) -> None:
        """The mappings go with their last view."""
        self._models.clear()


def _check_available(size: int) -> None:
    """OSError if this host has less memory to spare, since taking it would get some process killed."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and (available := int(value.split()[0]) * 1024) < size:
            raise OSError(f"{size} bytes of device memory, where the host has {available} to spare")


def _file(path: Path) -> Bytes:
    """The file's bytes, mapped."""
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)
