"""Runs conversions in child processes, a few at a time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from clockwork_triton.artifact.cache import ArtifactCache
from clockwork_triton.artifact.signature import Signature
from converters.process import Process, Report
from converters.request import ConversionError, ConversionRequest, ProcessDied, Progress
from converters.wire import request_to_json, signature_from_json

GIB = 1 << 30
COMMAND = (sys.executable, "-m", "converters.child")

# What an inspection or a look-up may take: reading and hashing a file of some gigabytes.
SHORT_TIMEOUT_S = 120.0


def _silent(_: Progress) -> None: ...


class ConversionPool:
    """`processes` conversions at once, each in a process of its own, within `memory_bytes` and `timeout_s`.
    `processes` None: one for every two cores that this process may use, four at most.

    Inspections and look-ups in the cache are short and do not wait for conversions: one process that is
    kept answers them all, and is replaced when a file kills it. Cancelling a call kills its process. An
    asynchronous context manager; `close` ends what runs.
    """

    def __init__(
        self,
        cache_dir: Path,
        processes: int | None = None,
        memory_bytes: int = 8 * GIB,
        timeout_s: float = 1800.0,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._cache = ArtifactCache(cache_dir)
        self._cache.clean()
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._command = command
        self._converting = asyncio.Semaphore(_usual_processes() if processes is None else processes)
        self._asking = asyncio.Lock()
        self._kept: Process | None = None

    async def convert(
        self, request: ConversionRequest, progress: Report = _silent, *, fallback: bool = False
    ) -> Path:
        """The artifact's directory, from the cache or made anew. ConversionError says why there is none.

        With `fallback`, a model that cannot be compiled gets an artifact that a host runtime runs.
        """
        job = {"request": request_to_json(request), "cache": str(self._cache.root.resolve())}
        progress(Progress(request.name, "looking in the cache", 0, 1))
        found = await self._ask({"kind": "look_up", **job})
        if found is None and fallback:
            found = await self._ask({"kind": "look_up_host", **job})
        if found is not None:
            progress(Progress(request.name, "found in the cache", 1, 1))
            return Path(found)
        async with self._converting:
            try:
                return Path(await self._make({"kind": "convert", **job}, progress))
            except ConversionError as error:
                if not fallback:
                    raise
                progress(Progress(request.name, "trying it without compiling", 0, 1))
                return Path(await self._make({"kind": "make_host", "reason": str(error), **job}, progress))

    async def _make(self, job: dict[str, Any], progress: Report) -> str:
        """What a process of its own answers to a job that fills the cache."""
        process = await Process.start(self._command, self._memory_bytes)
        try:
            return str(await process.ask(job, progress, self._timeout_s))
        finally:
            await process.kill()
            self._cache.clean()

    async def inspect(self, onnx: Path) -> Signature:
        """The file's signature. ConversionError where it has none that can be served."""
        return signature_from_json(await self._ask({"kind": "inspect", "onnx": str(onnx)}))

    async def close(self) -> None:
        """Ends the process that is kept. Conversions end with the calls that wait for them."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.kill()

    async def __aenter__(self) -> ConversionPool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(self, job: dict[str, Any]) -> Any:
        timeout_s = min(self._timeout_s, SHORT_TIMEOUT_S)
        async with self._asking:
            if self._kept is not None and self._kept.alive:
                try:
                    return await self._kept.ask(job, _silent, timeout_s)
                except ProcessDied:  # maybe of an earlier file: this one gets a process that has read none
                    pass
            self._kept = await Process.start(self._command, self._memory_bytes)
            return await self._kept.ask(job, _silent, timeout_s)


def _usual_processes() -> int:
    return min(4, max(1, len(os.sched_getaffinity(0)) // 2))
