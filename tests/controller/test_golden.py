"""Recorded event logs give the commands they gave when they were recorded.

A change that is meant to change decisions records them anew: python -m tests.controller.golden.
"""

from __future__ import annotations

import pytest

from clockwork_triton.controller.policy import POLICIES
from tests.controller.golden import FOLDER, replay


@pytest.mark.parametrize("policy", POLICIES)
def test_a_recorded_log_gives_the_same_commands(policy: str) -> None:
    count = 0
    for recorded, found in replay(policy, (FOLDER / f"{policy}.jsonl").read_text()):
        count += 1
        assert found == recorded, f"event {count}"
    assert count > 500
