"""A conversion process as its parent sees it: asked, listened to, killed, mourned."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from converters.request import ConversionError, ProcessDied, Progress

Report = Callable[[Progress], None]

# Answers are short; this bounds what a process gone wild can make its parent hold.
_LONGEST_LINE = 1 << 24


class Process:
    """A running `converters.child`. One question at a time."""

    def __init__(self, process: asyncio.subprocess.Process, memory_bytes: int) -> None:
        assert process.stderr is not None
        self._process = process
        self._memory_bytes = memory_bytes
        self._complaints = asyncio.ensure_future(_tail(process.stderr))

    @classmethod
    async def start(cls, command: Sequence[str], memory_bytes: int) -> Process:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(os.getpid()),
            str(memory_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            env=_environment(),
            start_new_session=True,
        )
        return cls(process, memory_bytes)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, job: dict[str, Any], report: Report, timeout_s: float) -> Any:
        """The answer to a job. ConversionError if it is a refusal, or the process takes too long, ProcessDied
        if it dies; unless the answer was a refusal, the process is dead then."""
        try:
            answer = await asyncio.wait_for(self._converse(job, report), timeout_s)
        except TimeoutError:
            await self.kill()
            raise ConversionError(f"it took longer than {timeout_s:.0f} s") from None
        except BaseException:
            await self.kill()
            raise
        if "error" in answer:
            raise ConversionError(answer["error"])
        return answer["result"]

    async def _converse(self, job: dict[str, Any], report: Report) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it died: its output ends, and its status tells why
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            await self._process.stdin.drain()
        while line := await self._process.stdout.readline():
            document: dict[str, Any] = json.loads(line)
            if "progress" not in document:
                return document
            report(Progress(**document["progress"]))
        raise ProcessDied(self._obituary(await self._process.wait(), await self._complaints))

    async def kill(self) -> None:
        """Ends the process with its children, and waits until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await self._complaints

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
    end = b""
    while chunk := await stream.read(1 << 16):
        end = (end + chunk)[-4096:]
    texts = [text for line in end.decode(errors="replace").splitlines() if (text := line.strip())]
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
