"""Conversion processes: what they return, and what becomes of those that die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.artifact.signature import Signature, SignatureTensor
from converters.pool import ConversionPool
from converters.request import ConversionError, ConversionRequest, Progress
from tests.converters import models
from tests.converters.models import FLOAT, model, node, saved


def pool(
    tmp_path: Path, program: str = "", timeout_s: float = 300.0, memory_bytes: int = 4 << 30
) -> ConversionPool:
    """A pool whose processes run `program` in place of the converter, if one is given."""
    command = {"command": (sys.executable, "-c", program)} if program else {}
    return ConversionPool(tmp_path / "cache", 1, memory_bytes, timeout_s, **command)


def request(path: Path, name: str = "m") -> ConversionRequest:
    return ConversionRequest(path, name, 2, (1, 2))


def run(here: ConversionPool, call: Callable[[ConversionPool], Awaitable[Any]]) -> Any:
    """The result of a call of a pool, in an event loop of its own."""

    async def main() -> Any:
        async with here:
            return await call(here)

    return asyncio.run(main())


def test_a_second_conversion_compiles_nothing(tmp_path: Path) -> None:
    path = saved(models.sum_and_difference(), tmp_path)
    seen: list[list[str]] = [[], [], []]

    async def twice(here: ConversionPool) -> list[Path]:
        return [
            await here.convert(request(path), lambda p: seen[0].append(p.stage)),
            await here.convert(request(path, "another name"), lambda p: seen[1].append(p.stage)),
        ]

    first, second = run(pool(tmp_path), twice)
    third = run(pool(tmp_path), lambda here: here.convert(request(path), lambda p: seen[2].append(p.stage)))
    assert first == second == third
    assert Manifest.read(first).batch_sizes == (1, 2)
    assert "compiling" in seen[0]
    assert seen[1] == seen[2] == ["looking in the cache", "found in the cache"]


def test_conversions_at_once_of_the_same_model(tmp_path: Path) -> None:
    path = saved(models.sum_and_difference(), tmp_path)
    here = ConversionPool(tmp_path / "cache", processes=2)
    paths = run(here, lambda h: asyncio.gather(h.convert(request(path)), h.convert(request(path))))
    assert len(set(paths)) == 1
    assert Manifest.read(paths[0]).batch_sizes == (1, 2)


def test_what_determines_an_artifact_makes_another_one(tmp_path: Path) -> None:
    from converters.key import key_of, origin

    path = saved(models.sum_and_difference(), tmp_path)
    base = key_of(origin(request(path)))
    assert base == key_of(origin(request(path)))
    assert base != key_of(origin(ConversionRequest(path, "m", 2, (1,))))
    assert base != key_of(origin(ConversionRequest(path, "m", 2, (1, 2), arch="x86-64")))
    assert base != key_of(origin(ConversionRequest(path, "m", 2, (1, 2), outputs=("OUTPUT0",))))
    saved(models.small_convnet(), tmp_path)
    assert base != key_of(origin(request(path)))


def test_external_weights_are_part_of_the_key(tmp_path: Path) -> None:
    import onnx

    from converters.key import key_of, origin

    path = tmp_path / "model.onnx"
    onnx.save(models.small_convnet(), path, save_as_external_data=True, location="w", size_threshold=0)
    before = key_of(origin(request(path)))
    data = bytearray((tmp_path / "w").read_bytes())
    data[0] ^= 1
    (tmp_path / "w").write_bytes(data)
    assert before != key_of(origin(request(path)))


def test_inspection(tmp_path: Path) -> None:
    signature = run(pool(tmp_path), lambda here: here.inspect(saved(models.embedding(), tmp_path)))
    assert signature.inputs == (SignatureTensor("tokens", "int64", (-1, 5)),)


def test_a_refusal_comes_back_as_it_was_said(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(ConversionError, match=r"^model\.onnx is not an ONNX file, or was cut short$"):
        run(pool(tmp_path), lambda here: here.convert(request(tmp_path / "model.onnx")))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.kill(os.getpid(), 11)", "the converter crashed with SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", "was killed, most likely for want of memory .*4096 MiB"),
        ("import os; print('why\\n', file=os.sys.stderr); os.abort()", "crashed with SIGABRT: why"),
        ("raise KeyError('lost')", "the converter failed: KeyError: 'lost'"),
    ],
    ids=["segfault", "out-of-memory", "abort", "bug"],
)
def test_a_dead_process_is_an_error_with_a_reason(program: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=reason):
        run(pool(tmp_path, program), lambda here: here.inspect(tmp_path / "m.onnx"))


# Finds nothing in the cache, and tells its pid before it does nothing for good.
STUCK = """
import json, os, sys, threading
from converters.child import die_with_parent
die_with_parent(int(sys.argv[1]))
for line in sys.stdin:
    if json.loads(line)["kind"] == "convert":
        progress = {"name": "m", "stage": str(os.getpid()), "done": 0, "total": 1}
        print(json.dumps({"progress": progress}), flush=True)
        threading.Event().wait()
    print(json.dumps({"result": None}), flush=True)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_file_that_kills_its_reader_costs_no_other(tmp_path: Path) -> None:
    """The process that answers inspections is replaced when it dies."""
    program = """
import json, os, sys
for line in sys.stdin:
    if "hostile" in line:
        os.abort()
    print(json.dumps({"result": {"inputs": [], "outputs": []}}), flush=True)
"""

    async def inspections(here: ConversionPool) -> list[Signature]:
        first = await here.inspect(tmp_path / "a.onnx")
        with pytest.raises(ConversionError, match="crashed with SIGABRT"):
            await here.inspect(tmp_path / "hostile.onnx")
        return [first, await here.inspect(tmp_path / "b.onnx")]

    assert run(pool(tmp_path, program), inspections) == [Signature((), ()), Signature((), ())]


def test_a_process_that_an_earlier_file_spoilt_costs_no_other(tmp_path: Path) -> None:
    program = """
import json, sys
if "a.onnx" in sys.stdin.readline():
    print(json.dumps({"result": {"inputs": [], "outputs": []}}), flush=True)
    sys.stdin.readline()
    sys.exit(3)
print(json.dumps({"result": {"inputs": [], "outputs": []}}), flush=True)
"""

    async def inspections(here: ConversionPool) -> list[Signature]:
        return [await here.inspect(tmp_path / "a.onnx"), await here.inspect(tmp_path / "b.onnx")]

    assert run(pool(tmp_path, program), inspections) == [Signature((), ()), Signature((), ())]


def test_a_conversion_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="it took longer than 0 s"):
        run(pool(tmp_path, STUCK, timeout_s=0.01), lambda here: here.convert(request(tmp_path / "m.onnx")))


def test_cancelling_kills_the_process(tmp_path: Path) -> None:
    async def cancel(here: ConversionPool) -> int:
        pids: asyncio.Queue[int] = asyncio.Queue()

        def report(progress: Progress) -> None:
            if progress.stage.isdigit():
                pids.put_nowait(int(progress.stage))

        conversion = asyncio.ensure_future(here.convert(request(tmp_path / "m.onnx"), report))
        pid = await pids.get()
        assert is_alive(pid)
        conversion.cancel()
        with pytest.raises(asyncio.CancelledError):
            await conversion
        return pid

    assert not is_alive(run(pool(tmp_path, STUCK), cancel))


PARENT = f"""
import asyncio, sys
from pathlib import Path
from converters.pool import ConversionPool
from converters.request import ConversionRequest
pool = ConversionPool(Path(sys.argv[1]), command=(sys.executable, "-c", {STUCK!r} ))
request = ConversionRequest(Path("m.onnx"), "m", 0, (1,))
asyncio.run(pool.convert(request, lambda p: p.stage.isdigit() and print(p.stage, flush=True)))
"""


def test_a_process_does_not_outlive_its_server(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as server:
        assert server.stdout is not None
        descriptor = os.pidfd_open(int(server.stdout.readline()))
        server.send_signal(signal.SIGKILL)
        server.wait()
    # A pidfd becomes readable when its process ends.
    import select

    readable, _, _ = select.select([descriptor], [], [], 30)
    os.close(descriptor)
    assert readable


def test_a_model_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    huge = model(
        [
            node("ConstantOfShape", ["shape"], ["ones"], value=numpy_helper.from_array(np.float32([1]))),
            node("MatMul", ["x", "ones"], ["y"]),
        ],
        {"x": (FLOAT, ["N", 32768])},
        {"y": (FLOAT, ["N", 32768])},
        {"shape": np.array([32768, 32768], np.int64)},
    )
    with pytest.raises(ConversionError, match="it needs more than the 1024 MiB that a conversion may use"):
        run(pool(tmp_path, memory_bytes=1 << 30), lambda here: here.convert(request(saved(huge, tmp_path))))
    assert not list((tmp_path / "cache").glob(".building-*"))
