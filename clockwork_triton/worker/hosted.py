"""A model that is not compiled, at a device: it runs on the host, whatever the device is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.host import HostError, HostModel, test_inputs
from clockwork_triton.artifact.records import RecordReader, RecordWriter, SlotFull, requests_in
from clockwork_triton.worker.device import Registered, UnsuitableModel


class HostedModel:
    """Lies in host memory from its registration on, so a LOAD of it has nothing to do."""

    def __init__(self, manifest: Manifest, model: HostModel) -> None:
        self.manifest = manifest
        self.facts = Registered((), frozenset(manifest.variants))
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


def open_hosted(artifact: Path, manifest: Manifest) -> Iterator[HostedModel | None]:
    """Reads the model, in pieces; the last one is it. UnsuitableModel if it does not run here."""
    yield None
    try:
        model = HostModel(artifact, manifest)
        yield None
        # The first run is the slowest.
        model.run(test_inputs(manifest, 1))
    except Exception as error:
        raise UnsuitableModel(f"{manifest.runtime} cannot run it: {error}") from error
    yield HostedModel(manifest, model)
