from __future__ import annotations

from clockwork_triton.frontend.http2.early_ends import EarlyEnds


def test_the_newest_are_known_and_the_oldest_given_the_benefit_of_the_doubt() -> None:
    ends = EarlyEnds()
    for stream_id in range(1, 20_001, 4):
        ends.add(stream_id)
    assert ends.may_hold(19_997)
    assert not ends.may_hold(19_999)
    assert ends.may_hold(1)
    # Never added, but as old as those that are forgotten.
    assert ends.may_hold(3)
