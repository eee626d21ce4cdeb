"""A thread before all others, where the system permits it."""

from __future__ import annotations

import os
import threading

import pytest

from clockwork_triton.worker.process import become_real_time

JOIN_S = 10.0


def test_a_process_with_one_core_keeps_it_for_all_its_threads_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert not become_real_time()
    assert "a single core" in caplog.text


def test_what_is_not_permitted_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    assert not become_real_time()
    assert "Operation not permitted" in caplog.text


def test_only_the_thread_that_asks_becomes_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    before = os.sched_getscheduler(0)
    found: list[tuple[bool, int]] = []
    thread = threading.Thread(target=lambda: found.append((become_real_time(), os.sched_getscheduler(0))))
    thread.start()
    thread.join(JOIN_S)
    ((permitted, scheduler),) = found
    assert (scheduler == os.SCHED_FIFO) is permitted
    assert os.sched_getscheduler(0) == before
