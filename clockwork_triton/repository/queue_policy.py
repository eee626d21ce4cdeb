"""The queue policies of `dynamic_batching`, as admission reads them: one for each priority level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelQueuePolicy

from clockwork_triton.repository.config import slo_ns


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """`budget_ns`: of a request that brings no smaller one, None: none. `most_queued`: how many requests may
    wait, 0: any number."""

    budget_ns: int | None = None
    most_queued: int = 0


@dataclass(frozen=True, slots=True)
class QueuePolicies:
    """`by_level`: of the priority levels 1 (the highest) to the last; 0 stands for a model without levels."""

    by_level: Mapping[int, QueuePolicy]
    default_level: int = 0

    def level(self, priority: int) -> int:
        """The level of a request's priority: the default one if it has none, or one there is not."""
        return priority if priority > 0 and priority in self.by_level else self.default_level

    def within(self, budget_ns: int | None) -> QueuePolicies:
        """The same with no budget greater than `budget_ns`."""
        if budget_ns is None:
            return self
        return QueuePolicies(
            {level: _within(policy, budget_ns) for level, policy in self.by_level.items()},
            self.default_level,
        )


ANY_REQUEST = QueuePolicies({0: QueuePolicy()})
"""What holds where nothing is configured."""


def queue_policies(config: Any) -> QueuePolicies:
    """Every budget is the smaller of the policy's and the model's `slo_ms`.

    A client may ask for less time than the policy's whether or not it has `allow_timeout_override`, never for
    more. ServerError if `slo_ms` is no positive number.
    """
    batching = config.dynamic_batching
    slo = slo_ns(config)
    default = _policy(batching.default_queue_policy, slo)
    if not batching.priority_levels:
        return QueuePolicies({0: default})
    own = {level: _policy(policy, slo) for level, policy in batching.priority_queue_policy.items()}
    levels = range(1, batching.priority_levels + 1)
    return QueuePolicies(
        {level: own.get(level, default) for level in levels}, batching.default_priority_level
    )


def _policy(policy: Any, slo: int | None) -> QueuePolicy:
    """A policy that delays late requests instead of rejecting them sets no deadline."""
    rejects = policy.timeout_action != ModelQueuePolicy.DELAY
    timeout_ns = policy.default_timeout_microseconds * 1_000 if rejects else 0
    made = QueuePolicy(timeout_ns or None, policy.max_queue_size)
    return made if slo is None else _within(made, slo)


def _within(policy: QueuePolicy, budget_ns: int) -> QueuePolicy:
    budget = budget_ns if policy.budget_ns is None else min(policy.budget_ns, budget_ns)
    return QueuePolicy(budget, policy.most_queued)
