from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.serving import load
from tests.benchmarks.serving.echo import DETAILS, HANG, REFUSE, echo


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with echo() as (address, _):
        yield address


def test_closed_loop_goes_around_the_requests_and_keeps_replies(address: str) -> None:
    answers = load.closed_loop(address, [b"ab", b"cd", b"ef"], 2, count=7, keep=True)
    assert Counter(answer.reply for answer in answers) == {b"ba": 3, b"dc": 2, b"fe": 2}
    assert all(answer.ok and answer.latency_ns > 0 and answer.slip_ns == 0 for answer in answers)


def test_failures_are_answers_too(address: str) -> None:
    answers = load.closed_loop(address, [b"ab", REFUSE], 1, count=4, pause_s=0.001)
    assert [(a.status, a.details) for a in answers] == [
        ("OK", ""),
        ("UNAVAILABLE", DETAILS),
    ] * 2


def test_closed_loop_gives_up_on_what_hangs(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "HANG_S", 2.0)
    answers = load.closed_loop(address, [HANG, b"ab"], 1, count=2)
    assert [answer.status for answer in answers] == [load.HANG, "OK"]


def test_open_loop_accounts_for_every_arrival(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "HANG_S", 1.0)
    answers = load.open_loop(address, [b"ab", REFUSE, HANG], [0.0, 0.001, 0.002, 0.003])
    assert [answer.status for answer in answers] == ["OK", "UNAVAILABLE", load.HANG, "OK"]
    due = [answer.due_ns - answers[0].due_ns for answer in answers]
    assert due == [0, 1_000_000, 2_000_000, 3_000_000]
    assert all(answer.slip_ns >= 0 for answer in answers)


def test_poisson_arrivals() -> None:
    times = load.poisson(rate=1000, seconds=20, seed=1)
    gaps = np.diff(times)
    assert times == sorted(times)
    assert times[0] > 0
    assert 19.9 < times[-1] < 20
    assert np.mean(gaps) == pytest.approx(1e-3, rel=0.05)
    assert np.std(gaps) == pytest.approx(1e-3, rel=0.05)
    assert times != load.poisson(rate=1000, seconds=20, seed=2)
