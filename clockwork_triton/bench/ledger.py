"""What became of every request."""

from __future__ import annotations

from array import array
from enum import IntEnum

from clockwork_triton.bench.wire import Reply

REFUSALS = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"))
MOST_WORDS = 100


class Outcome(IntEnum):
    """`GOOD`: answered within the SLO, or answered at all where there is none. `REFUSED`: the server said
    that it would not. `LOST`: the connection broke, or no answer came."""

    GOOD = 0
    LATE = 1
    REFUSED = 2
    FAILED = 3
    LOST = 4


def outcome_of(reply: Reply, latency_ns: int, slo_ns: int | None) -> Outcome:
    if not reply.answered:
        return Outcome.LOST
    if reply.status == "OK":
        return Outcome.GOOD if slo_ns is None or latency_ns <= slo_ns else Outcome.LATE
    return Outcome.REFUSED if reply.status in REFUSALS else Outcome.FAILED


class Ledger:
    """Columns, a row a request in the order in which they ended; times are monotonic nanoseconds.

    `due`: when the schedule wanted it sent; in a closed loop that is when it was sent. `words`: which of
    `known_words` came, -1 with OK.
    """

    def __init__(self) -> None:
        self.models = array("i")
        self.due = array("q")
        self.sent = array("q")
        self.done = array("q")
        self.outcomes = array("b")
        self.words = array("i")
        self.known_words: dict[str, int] = {}
        self.counts = [0] * len(Outcome)

    def __len__(self) -> int:
        return len(self.outcomes)

    def enter(
        self, model_id: int, due_ns: int, sent_ns: int, done_ns: int, slo_ns: int | None, reply: Reply
    ) -> Outcome:
        outcome = outcome_of(reply, done_ns - sent_ns, slo_ns)
        self.models.append(model_id)
        self.due.append(due_ns)
        self.sent.append(sent_ns)
        self.done.append(done_ns)
        self.outcomes.append(outcome)
        self.counts[outcome] += 1
        self.words.append(-1 if reply.status == "OK" else self._word(reply))
        return outcome

    def _word(self, reply: Reply) -> int:
        """Status and message. Messages that all differ are not told apart for ever."""
        text = f"{reply.status}: {reply.body.decode(errors='replace')[:200]}"
        if text not in self.known_words and len(self.known_words) >= MOST_WORDS:
            text = f"{reply.status}: others"
        return self.known_words.setdefault(text, len(self.known_words))
