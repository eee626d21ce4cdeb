from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.artifact.manifest import ALIGNMENT
from converters.placement import Lifetime, align, place


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Lifetime]:
    spans = draw(
        st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20), st.integers(0, 20)), max_size=40)
    )
    return [Lifetime(size, min(a, b), max(a, b)) for size, a, b in spans]


@given(lifetimes())
def test_tensors_that_live_at_once_never_overlap(tensors: list[Lifetime]) -> None:
    offsets, total = place(tensors)
    for i, (a, at) in enumerate(zip(tensors, offsets, strict=True)):
        assert at % ALIGNMENT == 0
        assert 0 <= at <= at + a.bytes <= total
        for b, bt in list(zip(tensors, offsets, strict=True))[:i]:
            together = a.first <= b.last and b.first <= a.last
            assert not together or at + a.bytes <= bt or bt + b.bytes <= at


@given(lifetimes())
def test_no_workspace_is_larger_than_the_tensors_together(tensors: list[Lifetime]) -> None:
    _, total = place(tensors)
    assert total <= sum(align(tensor.bytes) for tensor in tensors)
    assert total >= max(sum(align(t.bytes) for t in tensors if t.first <= s <= t.last) for s in range(21))


def test_a_chain_needs_room_for_two() -> None:
    _, total = place([Lifetime(1000, step, step + 1) for step in range(10)])
    assert total == 2 * align(1000)


def test_the_smallest_gap_that_fits_is_taken() -> None:
    """When the last tensor begins, the second and fourth are gone; the fourth left the smaller gap."""
    spans = [(640, 0, 9), (512, 0, 4), (448, 3, 9), (384, 0, 4), (320, 3, 9), (300, 5, 9)]
    offsets, _ = place([Lifetime(*span) for span in spans])
    assert offsets[5] == offsets[3]
