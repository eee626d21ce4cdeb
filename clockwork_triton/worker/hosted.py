"""Models that are not compiled, beside a device: they run on the host, whatever the device is."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.host import HostError, HostModel, test_inputs
from clockwork_triton.artifact.records import RecordReader, RecordWriter, SlotFull, requests_in
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.device import Device, DeviceOptions, Outputs, Registered, UnsuitableModel


class HostedModel:
    """Lies in host memory from its registration on, so a LOAD of it has nothing to do."""

    def __init__(self, manifest: Manifest, model: HostModel) -> None:
        self.manifest = manifest
        self.facts = Registered((), frozenset(manifest.variants), manifest)
        self._model = model

    def infer(self, slot: memoryview) -> None:
        """Answers the requests in the slot one by one: what is wrong with one of them is no other's fault."""
        position, count = requests_in(slot)
        requests = RecordReader(slot)
        writer = RecordWriter(slot, position)
        for _ in range(count):
            record = requests.read()
            if not isinstance(record, str):
                try:
                    record = self._model.run(record)
                except HostError as error:
                    record = str(error)
            try:
                writer.write(record)
            except SlotFull:
                writer.write(
                    f"the outputs take more than the {len(slot) - writer.position} bytes left for them"
                )


class HostingDevice:
    """A device, and beside it the models that are not compiled, which run in this process whatever it is."""

    def __init__(self, device: Device, options: DeviceOptions) -> None:
        self._device = device
        self.kind = device.kind
        self.overlaps = device.overlaps
        self.pages = device.pages
        self.page_bytes = device.page_bytes
        self.workspace_bytes = device.workspace_bytes
        self._slot_bytes = options.slot_bytes
        # The memory of a mapping goes with the last view of it.
        self._slots = memoryview(mmap.mmap(options.io_fd, options.slots * options.slot_bytes))
        self._hosted: dict[int, HostedModel] = {}

    @property
    def lost(self) -> bool:
        return self._device.lost

    @property
    def clock_mhz(self) -> int:
        return self._device.clock_mhz

    def register(self, model_id: int, artifact: Path) -> Iterator[None]:
        manifest = Manifest.read(artifact)
        if manifest.compiled:
            yield from self._device.register(model_id, artifact)
            return
        yield
        try:
            model = HostModel(artifact, manifest)
            yield
            # The first run is the slowest.
            model.run(test_inputs(manifest, 1))
        except Exception as error:
            raise UnsuitableModel(f"{manifest.runtime} cannot run it: {error}") from error
        self._hosted[model_id] = HostedModel(manifest, model)

    def registered(self, model_id: int) -> Registered | None:
        hosted = self._hosted.get(model_id)
        return self._device.registered(model_id) if hosted is None else hosted.facts

    def unregister(self, model_id: int) -> Iterator[None]:
        if self._hosted.pop(model_id, None) is None:
            yield from self._device.unregister(model_id)

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        if model_id not in self._hosted:
            return self._device.load(model_id, first_pages)
        now_ns = time.monotonic_ns()
        return Stages(now_ns, now_ns)

    def expect(self, model_id: int, batch_size: int, slot: int) -> None:
        if model_id not in self._hosted:
            self._device.expect(model_id, batch_size, slot)

    def infer(self, model_id: int, batch_size: int, slot: int) -> Stages | Outputs:
        hosted = self._hosted.get(model_id)
        if hosted is None:
            return self._device.infer(model_id, batch_size, slot)
        begin_ns = time.monotonic_ns()
        begin = slot * self._slot_bytes
        hosted.infer(self._slots[begin : begin + self._slot_bytes])
        return Stages(begin_ns, time.monotonic_ns())

    def close(self) -> None:
        self._hosted.clear()
        self._device.close()
