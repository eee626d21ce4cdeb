from __future__ import annotations

import pytest

from clockwork_triton.bench import ledger as module
from clockwork_triton.bench.ledger import Ledger, Outcome, outcome_of
from clockwork_triton.bench.wire import Reply


@pytest.mark.parametrize(
    ("reply", "slo_ns", "outcome"),
    [
        (Reply("OK", b""), None, Outcome.GOOD),
        (Reply("OK", b""), 100, Outcome.GOOD),
        (Reply("OK", b""), 99, Outcome.LATE),
        (Reply("UNAVAILABLE", b"Request timeout expired"), 1000, Outcome.REFUSED),
        (Reply("DEADLINE_EXCEEDED", b""), 1000, Outcome.REFUSED),
        (Reply("INVALID_ARGUMENT", b""), 1000, Outcome.FAILED),
        (Reply("UNAVAILABLE", b"the connection was lost", False), 1000, Outcome.LOST),
    ],
)
def test_outcomes(reply: Reply, slo_ns: int | None, outcome: Outcome) -> None:
    assert outcome_of(reply, 100, slo_ns) is outcome


def test_words_are_counted_up_to_a_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WORDS", 2)
    ledger = Ledger()
    for body in (b"a", b"b", b"c", b"d", b"a"):
        ledger.enter(0, 0, 0, 1, None, Reply("INTERNAL", body))
    ledger.enter(0, 0, 0, 1, None, Reply("OK", b""))
    assert list(ledger.known_words) == ["INTERNAL: a", "INTERNAL: b", "INTERNAL: others"]
    assert list(ledger.words) == [0, 1, 2, 2, 0, -1]
    assert ledger.counts == [1, 0, 0, 5, 0]
