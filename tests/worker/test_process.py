"""Real worker processes on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clockwork_triton.controller.actions import Status
from tests.worker import tiny
from tests.worker.child import Child


def rows(count: int, first: int = 0) -> tiny.Floats:
    return np.arange(first, first + count * tiny.WIDTH, dtype=np.float32).reshape(count, tiny.WIDTH)


def test_loads_infers_and_unloads(child: Child, artifact: Path) -> None:
    assert child.register(1, artifact) == ""
    assert child.infer(1, 1).status is Status.NOT_LOADED
    loaded = child.load(1, 5, 9)
    assert loaded.status is Status.OK
    assert 0 < loaded.received_ns <= loaded.begin_ns <= loaded.end_ns
    manifest = tiny.manifest()
    for slot, size in ((0, 1), (2, 2), (1, 1), (0, 2)):
        x = rows(size, first=slot)
        child.write(manifest, slot, x)
        result = child.infer(1, size, slot)
        assert (result.status, result.message) == (Status.OK, "")
        np.testing.assert_array_equal(child.read(manifest, slot, size), tiny.expected(x))
    assert child.unload(1).status is Status.OK
    assert child.infer(1, 1).status is Status.NOT_LOADED
