from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.worker.arena import Arena, PlacementError


def test_a_model_takes_its_runs_and_gives_them_back() -> None:
    arena = Arena(8)
    arena.place(1, (5, 0), (3, 2))
    assert 1 in arena
    assert arena.used == 5
    arena.place(2, (2,), (3,))
    assert arena.used == 8
    arena.free(1)
    assert 1 not in arena
    assert arena.used == 3
    arena.place(1, (0, 6), (2, 2))


def test_a_model_without_weights_takes_nothing() -> None:
    arena = Arena(0)
    arena.place(1, (), ())
    assert 1 in arena
    assert arena.used == 0


@pytest.mark.parametrize(
    ("first_pages", "sizes", "reason"),
    [
        ((7,), (2,), "pages 7 to 8 of a device that has 8"),
        ((-1,), (2,), "pages -1 to 0"),
        ((8,), (1,), "pages 8 to 8"),
        ((0, 1), (2, 1), "page 1 is named twice"),
        ((3,), (2,), "page 4 belongs to model 9"),
        ((0,), (1, 1), "1 first pages named for 2 segments"),
    ],
)
def test_a_bad_placement_is_refused_and_changes_nothing(
    first_pages: tuple[int, ...], sizes: tuple[int, ...], reason: str
) -> None:
    arena = Arena(8)
    arena.place(9, (4,), (2,))
    with pytest.raises(PlacementError, match=reason):
        arena.place(1, first_pages, sizes)
    assert 1 not in arena
    assert arena.used == 2
    arena.place(1, (0, 6), (4, 2))


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.tuples(st.integers(-2, 12), st.integers(1, 5))))))
def test_no_page_ever_has_two_owners(steps: list[tuple[int, list[tuple[int, int]]]]) -> None:
    """Placing and freeing at random, against sets of pages kept beside."""
    arena = Arena(12)
    owned: dict[int, list[int]] = {}
    for model_id, runs in steps:
        if model_id in owned:
            arena.free(model_id)
            del owned[model_id]
            continue
        pages = [page for first, size in runs for page in range(first, first + size)]
        others = {page for taken in owned.values() for page in taken}
        fits = all(0 <= p < 12 for p in pages) and not others & set(pages) and len(set(pages)) == len(pages)
        try:
            arena.place(model_id, [first for first, _ in runs], [size for _, size in runs])
        except PlacementError:
            assert not fits
        else:
            assert fits
            owned[model_id] = pages
        assert arena.used == sum(map(len, owned.values()))
