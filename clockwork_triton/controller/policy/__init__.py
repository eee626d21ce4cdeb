"""Policies by the name that --policy takes."""

from __future__ import annotations

from clockwork_triton.controller.policy.adaptive import AdaptivePolicy
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.policy.clockwork import ClockworkPolicy

POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (AdaptivePolicy, ClockworkPolicy)}
