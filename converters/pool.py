"""Runs conversions in child processes, a few at a time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.cache import ArtifactCache
from clockwork_triton.artifact.signature import Signature
from converters.request import ConversionError, ConversionRequest, Progress
from converters.wire import line, request_to_json, signature_from_json

GIB = 1 << 30


class ConversionPool:
    """`processes` conversions at once, each within `memory_bytes` and `timeout_s`; inspections, which are
    short, do not wait for them. Cancelling a call kills its process."""

    def __init__(
        self,
        cache_dir: Path,
        processes: int = 1,
        memory_bytes: int = 8 * GIB,
        timeout_s: float = 1800.0,
        command: Sequence[str] = (sys.executable, "-m", "converters.child"),
    ) -> None:
        self._cache = ArtifactCache(cache_dir)
        self._cache.clean()
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._command = command
        self._converting = asyncio.Semaphore(processes)
        self._inspecting = asyncio.Semaphore(1)

    async def convert(
        self, request: ConversionRequest, progress: Callable[[Progress], None] = lambda _: None
    ) -> Path:
        """The artifact's directory, from the cache or made anew. ConversionError says why there is none."""
        job = {
            "kind": "convert",
            "request": request_to_json(request),
            "cache": str(self._cache.root.resolve()),
        }
        async with self._converting:
            try:
                return Path(await self._run(job, progress))
            finally:
                self._cache.clean()

    async def inspect(self, onnx: Path) -> Signature:
        """The file's signature. ConversionError where it has none that can be served."""
        async with self._inspecting:
            return signature_from_json(
                await self._run({"kind": "inspect", "onnx": str(onnx)}, lambda _: None)
            )

    async def _run(self, job: dict[str, Any], progress: Callable[[Progress], None]) -> Any:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        try:
            return await asyncio.wait_for(self._converse(process, job, progress), self._timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            raise ConversionError(f"it took longer than {self._timeout_s:.0f} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def _converse(
        self, process: asyncio.subprocess.Process, job: dict[str, Any], progress: Callable[[Progress], None]
    ) -> Any:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        limits = {"parent": os.getpid(), "memory_bytes": self._memory_bytes}
        process.stdin.write(line(**job, **limits))
        process.stdin.close()
        complaints = asyncio.ensure_future(_tail(process.stderr))
        try:
            answer: dict[str, Any] | None = None
            async for text in process.stdout:
                document = json.loads(text)
                if "progress" in document:
                    progress(Progress(**document["progress"]))
                else:
                    answer = document
            status = await process.wait()
            said = await complaints
        finally:
            complaints.cancel()
        if answer is None:
            raise ConversionError(self._obituary(status, said))
        if "error" in answer:
            raise ConversionError(answer["error"])
        return answer["result"]

    def _obituary(self, status: int, said: str) -> str:
        """Why a process that gave no answer died."""
        limit = f"the limit is {self._memory_bytes >> 20} MiB of memory"
        if status >= 0:
            return f"the converter failed: {said or f'exit status {status}'}"
        name = signal.Signals(-status).name
        if -status == signal.SIGKILL:
            return f"the converter was killed, most likely for want of memory ({limit})"
        if -status == signal.SIGABRT and "bad_alloc" in said:
            return f"it needs more memory than a conversion may use ({limit})"
        return f"the converter crashed with {name}" + (f": {said}" if said else "")


async def _tail(stream: asyncio.StreamReader) -> str:
    """The last line that says something, of a stream that may be long."""
    lines: deque[bytes] = deque(maxlen=20)
    while chunk := await stream.read(1 << 16):
        lines.extend(chunk.splitlines()[-20:])
    texts = [text for text in (raw.decode(errors="replace").strip() for raw in lines) if text]
    return texts[-1][:500] if texts else ""


def _environment() -> dict[str, str]:
    """The child finds this package where this process did, and keeps to one thread."""
    root = str(Path(__file__).parent.parent)
    inherited = os.environ.get("PYTHONPATH")
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = f"{root}{os.pathsep}{inherited}" if inherited else root
    environment = {**os.environ, **single, "PYTHONPATH": path}
    # A server that only needs TVM's runtime may have chosen it; a converter needs the compiler.
    environment.pop("TVM_USE_RUNTIME_LIB", None)
    return environment
