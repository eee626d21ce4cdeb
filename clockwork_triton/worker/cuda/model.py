"""A model on a GPU: its weights in pinned host memory, its code on the device, its programs bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from clockwork_triton.artifact import Manifest
from clockwork_triton.worker.cuda.driver import CudaError, Driver
from clockwork_triton.worker.cuda.memory import PinnedWeights
from clockwork_triton.worker.cuda.program import DeviceProgram, Places
from clockwork_triton.worker.device import Registered


class GpuModel:
    """`prepare` makes it; until it has ended there is nothing to run."""

    def __init__(self, driver: Driver, manifest: Manifest, artifact: Path) -> None:
        self.manifest = manifest
        self.programs: dict[int, DeviceProgram] = {}
        self._driver = driver
        self._artifact = artifact
        self._module: int | None = None
        length = max((segment.file_offset + segment.bytes for segment in manifest.segments), default=0)
        self._weights = PinnedWeights(driver, artifact / "weights.bin", length)

    @property
    def facts(self) -> Registered:
        segments = tuple(segment.pages for segment in self.manifest.segments)
        return Registered(segments, frozenset(self.programs), self.manifest)

    def prepare(self, places: Places, window: Sequence[int], stream: int, *, graphs: bool) -> Iterator[None]:
        """Everything that serving needs, in pieces; `stream` brings graphs onto the GPU, and the events of
        `window` bound what is queued without them. Where it fails, nothing stays."""
        try:
            yield from self._weights.read()
            self._module = self._driver.load_module(
                (self._artifact / self.manifest.kernels_file).read_bytes()
            )
            yield
            functions: dict[str, int] = {}
            for launches in self.manifest.launches.values():
                for launch in launches:
                    functions[launch.function] = self._driver.function(
                        self._module, launch.function, launch.shared_bytes
                    )
                yield
            for size, variant in self.manifest.variants.items():
                self.programs[size] = DeviceProgram(
                    self._driver,
                    variant,
                    self.manifest.slot(size),
                    self.manifest.launches,
                    functions,
                    places,
                    window,
                    graph_stream=stream if graphs else None,
                )
                yield
        except BaseException:
            for _ in self.closing():
                pass
            raise

    def copies(self, segments: Sequence[int]) -> list[tuple[int, int, int]]:
        """Device address, host address and size of the pieces of a LOAD; `segments`: where each begins."""
        return [
            (to + begin, address, size)
            for segment, to in zip(self.manifest.segments, segments, strict=True)
            for address, begin, size in self._weights.chunks(segment.file_offset, segment.bytes)
        ]

    def moving(self, segments: Sequence[int], stream: int) -> Iterator[None]:
        """Has the programs know, piece by piece, that the segments begin there now; `stream` brings it onto
        the GPU. The model is not running."""
        for program in self.programs.values():
            yield from program.placing("weight", segments, stream)

    def use_slot(self, batch_size: int, address: int) -> DeviceProgram:
        """The program, working in the I/O slot at this address."""
        program = self.programs[batch_size]
        for _ in program.placing("io", (address,)):
            pass
        return program

    def closing(self) -> Iterator[None]:
        """Gives everything back, in pieces, of which one that fails keeps no other."""
        while self.programs:
            with suppress(CudaError):
                self.programs.popitem()[1].close()
            yield
        if self._module is not None:
            module, self._module = self._module, None
            with suppress(CudaError):
                self._driver.unload_module(module)
            yield
        yield from self._weights.unpin()
