"""The process that reads ONNX files: `python -m converters.child PARENT_PID MEMORY_BYTES`.

A job comes as a line of JSON on standard input; its progress and its answer leave as lines of JSON on
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

from clockwork_triton.artifact.cache import ArtifactCache
from converters.request import ConversionError
from converters.wire import request_from_json, signature_to_json

_PR_SET_PDEATHSIG = 1
NICENESS = 10


def main() -> int:
    answers = _take_stdout()
    parent, memory_bytes = map(int, sys.argv[1:])
    die_with_parent(parent)
    _limit_memory(memory_bytes)
    os.nice(NICENESS)
    for line in sys.stdin.buffer:
        try:
            _send(answers, **_answer(json.loads(line), answers))
        except MemoryError:
            # What is left may not do for the next file.
            _send(answers, error=f"it needs more than the {memory_bytes >> 20} MiB that a conversion may use")
            return 1
    return 0


def _answer(job: dict[str, Any], answers: BinaryIO) -> dict[str, Any]:
    try:
        return {"result": _JOBS[job["kind"]](job, answers)}
    except ConversionError as error:
        # A library that ran out of memory was mostly quoted as the reason by who called it.
        if "bad_alloc" in str(error):
            raise MemoryError from error
        return {"error": str(error)}


def _look_up(job: dict[str, Any], _: BinaryIO) -> str | None:
    from converters.key import find, origin

    found = find(ArtifactCache(Path(job["cache"])), origin(request_from_json(job["request"])))
    return None if found is None else str(found)


def _convert(job: dict[str, Any], answers: BinaryIO) -> str:
    from converters.convert import convert
    from converters.key import choices_key, key_of, origin

    request = request_from_json(job["request"])
    cache = ArtifactCache(Path(job["cache"]))
    made_of = origin(request)
    key = key_of(made_of)
    if (found := cache.find(key)) is None:  # another process may have made it meanwhile
        with cache.building(key) as directory:
            convert(
                request,
                directory,
                made_of,
                lambda told: _send(answers, progress=asdict(told)),
                cache.root / f"tuning-{choices_key(made_of)[:16]}.json",
            )
        found = cache.find(key)
    assert found is not None
    return str(found)


def _look_up_host(job: dict[str, Any], _: BinaryIO) -> str | None:
    from converters.host import host_origin
    from converters.key import key_of, origin

    key = key_of(host_origin(origin(request_from_json(job["request"]))))
    found = ArtifactCache(Path(job["cache"])).find(key)
    return None if found is None else str(found)


def _make_host(job: dict[str, Any], _: BinaryIO) -> str:
    from converters.host import host_origin, make_host_artifact
    from converters.key import key_of, origin

    request = request_from_json(job["request"])
    cache = ArtifactCache(Path(job["cache"]))
    made_of = host_origin(origin(request))
    key = key_of(made_of)
    with cache.building(key) as directory:
        make_host_artifact(request, directory, made_of, job["reason"])
    found = cache.find(key)
    assert found is not None
    return str(found)


def _inspect(job: dict[str, Any], _: BinaryIO) -> dict[str, Any]:
    from converters.inspect import inspect

    return signature_to_json(inspect(Path(job["onnx"])))


_JOBS: dict[str, Callable[[dict[str, Any], BinaryIO], Any]] = {
    "convert": _convert,
    "inspect": _inspect,
    "look_up": _look_up,
    "look_up_host": _look_up_host,
    "make_host": _make_host,
}


def _send(answers: BinaryIO, **document: Any) -> None:
    answers.write(json.dumps(document).encode() + b"\n")
    answers.flush()


def _take_stdout() -> BinaryIO:
    """Standard output for answers alone; what anyone prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def die_with_parent(parent: int) -> None:
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
