from __future__ import annotations

from clockwork_triton.repository.requirements import Requirements


def test_no_ensemble_is_made_of_itself() -> None:
    made = Requirements()
    assert made.add("a", "b")
    assert made.add("b", "c")
    assert made.add("a", "c")
    assert not made.add("c", "a")
    assert not made.add("d", "d")


def test_what_asks_anew_is_forgotten_first() -> None:
    made = Requirements()
    assert made.add("a", "b")
    made.forget("a")
    made.forget("never asked")
    assert made.add("b", "a")
