"""INFERs while the worker does something else beside them, with the worker's own code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.kit import Model
from benchmarks.gpu.measure import Open, failure, infer_times
from benchmarks.gpu.results import Busy, Failure

OTHER_ID = 2


def busy(model: Model, open_driver: Open, runs: int, until: float, **bench: Any) -> Iterator[Busy | Failure]:
    """INFERs of the smallest batch size while a second model is LOADed by another thread, as in a worker.
    `bench`: more for Bench."""
    batch = model.batches[0]
    with closing(Bench(model.artifact, open_driver(), places=3, copies=2, **bench)) as opened:
        opened.load()
        opened.put(batch, model.arrays(batch, "in"))
        with _loading(opened) as done:
            times = infer_times(opened, batch, runs, until - time.monotonic(), enough=lambda: bool(done))
        *counts, last = done
        if isinstance(last, Exception):
            yield failure(f"busy {model.key} {batch}", last)
        else:
            yield Busy(model.key, batch, times, len(counts) + 1)


@contextmanager
def _loading(bench: Bench) -> Iterator[list[int | Exception]]:
    """LOADs the second model by turns to the second and third place until the block ends: their durations,
    and what went wrong last."""
    done: list[int | Exception] = []
    ended = threading.Event()

    def run() -> None:
        try:
            while not (ended.is_set() and done):
                done.append(bench.load(1 + len(done) % 2, OTHER_ID))
        except Exception as error:
            done.append(error)

    thread = threading.Thread(target=run, name="load")
    thread.start()
    try:
        yield done
    finally:
        ended.set()
        thread.join()
