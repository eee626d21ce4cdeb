from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.gateway.arena import ARENA_BYTES, Arena, make_arena

SIZE = 1 << 16


@pytest.fixture(scope="module")
def fd() -> Iterator[int]:
    fd = os.memfd_create("arena")
    os.ftruncate(fd, SIZE)
    yield fd
    os.close(fd)


@given(st.lists(st.tuples(st.integers(1, 9000), st.booleans()), max_size=60))
def test_blocks_in_use_never_overlap(fd: int, steps: list[tuple[int, bool]]) -> None:
    arena, used = Arena(fd), []
    for size, give in steps:
        place = arena.take(size)
        if place is None:
            continue
        assert 0 <= place <= place + size <= SIZE
        assert all(place + size <= other or other + length <= place for other, length in used)
        if give:
            arena.give_back(place, size)
        else:
            used.append((place, size))


def test_a_block_that_is_given_back_is_the_next_to_be_taken(fd: int) -> None:
    arena = Arena(fd)
    first, second = arena.take(3000), arena.take(3000)
    assert first is not None
    assert first != second
    arena.give_back(first, 3000)
    assert arena.take(2500) == first


def test_a_full_arena_says_so_and_is_full_no_more_once_something_is_given_back(fd: int) -> None:
    arena = Arena(fd)
    places = [arena.take(SIZE // 2) for _ in range(2)]
    assert None not in places
    assert arena.take(1) is None
    assert places[0] is not None
    arena.give_back(places[0], SIZE // 2)
    assert arena.take(SIZE // 2) == places[0]


def test_an_arena_takes_no_memory_before_it_is_used() -> None:
    fd = make_arena(0)
    try:
        assert os.fstat(fd).st_size == ARENA_BYTES
        assert os.fstat(fd).st_blocks == 0
    finally:
        os.close(fd)
