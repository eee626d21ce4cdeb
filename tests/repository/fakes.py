"""A loader that converts nothing, and repositories of small files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.loader import LoadedModel, ModelSource

VECTOR = Signature(
    (SignatureTensor("X", "float32", (-1, 3)),),
    (SignatureTensor("Y", "float32", (-1, 2)),),
)


class FakeLoader:
    """Loads at once unless a version is held, converts at once unless a model is slow; fails where told.

    `live`: model ids not yet released.
    """

    def __init__(self) -> None:
        self.signature = VECTOR
        self.outputs = (TensorSpec("Y", "float32", (2,)),)
        self.fails: dict[tuple[str, int], str] = {}
        self.crashes: set[str] = set()
        self.held: dict[tuple[str, int], asyncio.Event] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.releases: asyncio.Event | None = None
        self.loads: list[tuple[str, int]] = []
        self.contents: dict[int, bytes] = {}
        self.live: set[int] = set()
        self.released_twice: list[int] = []
        self.loading = 0
        self.most_at_once = 0

    def hold(self, name: str, version: int) -> asyncio.Event:
        self.held[name, version] = asyncio.Event()
        return self.held[name, version]

    async def inspect(self, onnx: Path) -> Signature:
        return self.signature

    async def convert(self, source: ModelSource) -> Path:
        if source.name in self.slow:
            await self.slow[source.name].wait()
        return source.onnx.parent

    async def load(self, source: ModelSource, artifact: Path) -> LoadedModel:
        key = (source.name, source.version)
        self.loads.append(key)
        content = source.onnx.read_bytes()
        self.loading += 1
        self.most_at_once = max(self.most_at_once, self.loading)
        try:
            if key in self.held:
                await self.held[key].wait()
            else:
                await asyncio.sleep(0)
        finally:
            self.loading -= 1
        if key in self.fails:
            raise ServerError(Code.INVALID_ARG, self.fails[key])
        if source.name in self.crashes:
            raise ZeroDivisionError("nobody foresaw this")
        model_id = len(self.contents) + 1
        self.contents[model_id] = content
        self.live.add(model_id)
        inputs = tuple(TensorSpec(name, "float32", shape) for name, shape in source.shapes.items())
        return LoadedModel(model_id, inputs, self.outputs, {1: 1_000}, 500, 4096, 0, artifact)

    async def retire(self, model_id: int) -> None:
        if self.releases is not None:
            await self.releases.wait()
        if model_id not in self.live:
            self.released_twice.append(model_id)
        self.live.discard(model_id)


class VirtualSleep:
    """Sleepers wait until the test wakes them; how long they asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._waiting: list[asyncio.Event] = []
        self._new = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        event = asyncio.Event()
        self._waiting.append(event)
        self._new.set()
        await event.wait()

    async def wake(self) -> None:
        """Waits until someone sleeps, and wakes everyone who does."""
        await self._new.wait()
        self._new.clear()
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


def write_version(root: Path, name: str, version: int, content: str = "onnx") -> Path:
    path = root / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, content)
    return path


def write_config(root: Path, name: str, text: str) -> None:
    (root / name).mkdir(parents=True, exist_ok=True)
    write(root / name / "config.pbtxt", text)


_written_ns = 1_700_000_000_000_000_000


def write(path: Path, content: str) -> None:
    """Writes with a modification time of its own, so that no change goes unseen on a coarse clock."""
    global _written_ns  # noqa: PLW0603
    _written_ns += 1_000_000_000
    path.write_text(content)
    os.utime(path, ns=(_written_ns, _written_ns))


async def until(condition: Callable[[], bool]) -> None:
    """Lets the event loop and its threads run until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
        await asyncio.to_thread(int)
    raise AssertionError("the condition never came to hold")
