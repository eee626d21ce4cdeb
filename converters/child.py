"""The process that reads an ONNX file: `python -m converters.child`.

A job comes as one JSON document on standard input; progress and the answer leave as lines of JSON on
standard output, whose descriptor is taken away from the libraries first, since they print. An ONNX file can
be wrong, huge or hostile, and TVM can crash on it: all that is lost then is this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from converters.request import ConversionError, Progress
from converters.wire import line, request_from_json, signature_to_json

_PR_SET_PDEATHSIG = 1
NICENESS = 10


def main() -> int:
    answers = _take_stdout()
    job = json.loads(sys.stdin.buffer.read())
    _die_with_parent(job["parent"])
    _limit_memory(job["memory_bytes"])
    os.nice(NICENESS)
    limit = f"more than the {job['memory_bytes'] >> 20} MiB that a conversion may use"
    try:
        answers.write(line(result=_JOBS[job["kind"]](job, answers)))
    except ConversionError as error:
        # A library that ran out of memory was mostly quoted as the reason by who called it.
        text = f"it needs {limit}" if "bad_alloc" in str(error) else str(error)
        answers.write(line(error=text))
    except MemoryError:
        answers.write(line(error=f"it needs {limit}"))
    answers.flush()
    return 0


def _convert(job: dict[str, Any], answers: BinaryIO) -> str:
    from clockwork_triton.artifact.cache import ArtifactCache
    from converters.key import key_of, origin

    def report(progress: Progress) -> None:
        answers.write(line(progress=asdict(progress)))
        answers.flush()

    request = request_from_json(job["request"])
    cache = ArtifactCache(Path(job["cache"]))
    report(Progress(request.name, "looking in the cache", 0, 1))
    made_of = origin(request)
    key = key_of(made_of)
    if (found := cache.find(key)) is not None:
        report(Progress(request.name, "found in the cache", 1, 1))
        return str(found)

    from converters.convert import convert

    with cache.building(key) as directory:
        convert(request, directory, made_of, report)
    path = cache.find(key)
    assert path is not None
    return str(path)


def _inspect(job: dict[str, Any], _: BinaryIO) -> dict[str, Any]:
    from converters.inspect import inspect

    return signature_to_json(inspect(Path(job["onnx"])))


_JOBS: dict[str, Callable[[dict[str, Any], BinaryIO], Any]] = {"convert": _convert, "inspect": _inspect}


def _take_stdout() -> BinaryIO:
    """Standard output for answers alone; what anyone prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(memory_bytes: int) -> None:
    """Limits private writable memory (RLIMIT_DATA).

    RLIMIT_AS would also count the libraries, mapped weights and address space that is only reserved. This
    counts what can really fill up, and an allocation beyond it fails at once, with an error to report,
    where a watcher of the resident size could come too late.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
