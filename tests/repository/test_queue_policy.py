from __future__ import annotations

import pytest

from clockwork_triton.errors import ServerError
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.queue_policy import (
    ANY_REQUEST,
    QueuePolicies,
    QueuePolicy,
    queue_policies,
)
from tests.compatibility import covers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("dynamic_batching { default_queue_policy { default_timeout_microseconds: 2000 } }", 2_000_000),
        ('parameters { key: "slo_ms" value { string_value: "1.5" } }', 1_500_000),
        (
            'parameters { key: "slo_ms" value { string_value: "3" } } '
            "dynamic_batching { default_queue_policy { default_timeout_microseconds: 2000 } }",
            2_000_000,
        ),
        (
            "dynamic_batching { default_queue_policy { timeout_action: DELAY "
            "default_timeout_microseconds: 2000 } }",
            None,
        ),
    ],
)
def test_the_default_timeout_is_the_smallest_given(text: str, expected: int | None) -> None:
    assert queue_policies(parse_text(text)).by_level[0].budget_ns == expected


@pytest.mark.parametrize("value", ["", "soon", "0", "-1", "nan", "inf"])
def test_an_slo_must_be_a_positive_number(value: str) -> None:
    config = parse_text(f'parameters {{ key: "slo_ms" value {{ string_value: "{value}" }} }}')
    with pytest.raises(ServerError, match="must be a positive number"):
        queue_policies(config)


@covers("timeout_action REJECT and DELAY", "different", "DELAY sets no deadline")
def test_each_level_has_its_own_policy_or_the_default_one() -> None:
    policies = queue_policies(
        parse_text(
            """
            parameters { key: "slo_ms" value { string_value: "5" } }
            dynamic_batching {
              priority_levels: 3 default_priority_level: 2
              default_queue_policy { default_timeout_microseconds: 9000 max_queue_size: 7 }
              priority_queue_policy { key: 1 value { default_timeout_microseconds: 1000 } }
              priority_queue_policy { key: 3 value { timeout_action: DELAY max_queue_size: 1 } }
            }
            """
        )
    )
    assert policies == QueuePolicies(
        {
            1: QueuePolicy(1_000_000),
            2: QueuePolicy(5_000_000, 7),
            3: QueuePolicy(5_000_000, 1),
        },
        2,
    )
    assert [policies.level(priority) for priority in (0, 1, 2, 3, 4, 1 << 63)] == [2, 1, 2, 3, 2, 2]
    assert policies.within(2_000_000).by_level[2] == QueuePolicy(2_000_000, 7)


def test_without_levels_there_is_one_for_all() -> None:
    assert queue_policies(parse_text("dynamic_batching { }")) == ANY_REQUEST
    assert ANY_REQUEST.level(5) == 0
    assert ANY_REQUEST.within(None) is ANY_REQUEST
    assert ANY_REQUEST.within(3).by_level[0].budget_ns == 3
