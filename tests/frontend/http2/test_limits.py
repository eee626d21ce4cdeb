from __future__ import annotations

import pytest

from clockwork_triton.frontend.http2.limits import SECOND_NS, Allowance, Limits, Rate, RequestMemory


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    allowance = Allowance(Rate(10, 2), now_ns=0)
    assert [allowance.spend(0) for _ in range(11)] == [True] * 10 + [False]
    assert not allowance.spend(SECOND_NS // 4)
    allowance = Allowance(Rate(10, 2), now_ns=0)
    for second in range(100):
        assert allowance.spend(second * SECOND_NS)
        assert allowance.spend(second * SECOND_NS)


def test_what_is_earned_does_not_exceed_the_burst() -> None:
    allowance = Allowance(Rate(3, 0), now_ns=0)
    allowance.earn(100)
    assert [allowance.spend(SECOND_NS * 10**6) for _ in range(4)] == [True, True, True, False]
    allowance = Allowance(Rate(3, 0), now_ns=0)
    for _ in range(50):
        assert allowance.spend(0)
        allowance.earn(1)


def test_memory_is_lent_as_far_as_it_goes() -> None:
    memory = RequestMemory(100)
    assert memory.take(60)
    assert not memory.take(41)
    assert memory.take(40)
    memory.give(60)
    assert memory.left == 60


@pytest.mark.parametrize("wrong", [{"frame_bytes": 16_383}, {"stream_window": 2**31}, {"message_bytes": 0}])
def test_impossible_limits_are_a_bug(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        Limits(**wrong)
