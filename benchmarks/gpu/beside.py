"""INFERs while the worker does something else beside them, with the worker's own code."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from benchmarks.gpu.bench import SLOTS, Bench
from benchmarks.gpu.kit import Model
from benchmarks.gpu.measure import Open, failure, infer_times, warm_up
from benchmarks.gpu.results import Busy, Failure, Registering
from clockwork_triton.worker.performer import Performer
from clockwork_triton.worker.registrar import Registrar

OTHER_ID = 2
STOP_S = 5.0


def busy(model: Model, open_driver: Open, runs: int, until: float, **bench: Any) -> Iterator[Busy | Failure]:
    """INFERs of the smallest batch size while a second model is LOADed by another thread, as in a worker.
    `bench`: more for Bench."""
    batch = model.batches[0]
    with closing(Bench(model.artifact, open_driver(), places=3, copies=2, **bench)) as opened:
        opened.load()
        opened.put(batch, model.arrays(batch, "in"))
        warm_up(opened, batch, runs)
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


def registering(
    model: Model, open_driver: Open, runs: int, until: float, **bench: Any
) -> Iterator[Registering | Failure]:
    """INFERs of the smallest batch size, alone for half of the time, then while a worker's registrar prepares
    a second model over and over. `bench`: more for Bench."""
    batch, step = model.batches[0], f"register {model.key}"
    with closing(Bench(model.artifact, open_driver(), **bench)) as opened:
        opened.load()
        opened.put(batch, model.arrays(batch, "in"))
        warm_up(opened, batch, runs)
        quiet = infer_times(opened, batch, runs, (until - time.monotonic()) / 2)
        with _registrations(opened) as answers:
            times = infer_times(opened, batch, runs, until - time.monotonic(), enough=lambda: bool(answers))
            # Before the last registration is waited for, which may take longer than there is time.
            if errors := [answer for answer in answers if answer]:
                yield Failure(step, errors[0])
            elif not answers:
                yield Failure(step, "no registration came to its end in time")
            else:
                yield Registering(model.key, batch, quiet, times, len(answers))


@contextmanager
def _registrations(bench: Bench) -> Iterator[list[str]]:
    """Has the second model registered and unregistered until the block ends or that fails: the answers, empty
    where it was well.

    A worker's registrar would wait a while between pieces for a moment without actions. Here there is none,
    and each piece follows at once, so that there are as many beside INFERs as there can be.
    """
    answers: list[str] = []
    ended = threading.Event()

    def done() -> None:
        if ended.is_set() or any(answers):
            return
        if bench.device.registered(OTHER_ID) is not None:
            registrar.unregister(OTHER_ID)
        else:
            registrar.register(OTHER_ID, bench.artifact)

    performer = Performer(bench.device, SLOTS)
    registrar = Registrar(
        bench.device, performer, lambda timeout_s: True, lambda model_id, error: answers.append(error), done
    )
    registrar.start()
    registrar.register(OTHER_ID, bench.artifact)
    try:
        yield answers
    finally:
        ended.set()
        registrar.stop(STOP_S)
