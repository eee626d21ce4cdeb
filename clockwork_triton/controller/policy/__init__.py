"""Policies by the name that --policy takes."""

from __future__ import annotations

from clockwork_triton.controller.policy.adaptive import AdaptivePolicy
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.policy.clipper import ClipperPolicy
from clockwork_triton.controller.policy.clockwork import ClockworkPolicy
from clockwork_triton.controller.policy.infaas import InfaasPolicy
from clockwork_triton.controller.policy.triton import TritonPolicy

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (AdaptivePolicy, ClockworkPolicy, ClipperPolicy, InfaasPolicy, TritonPolicy)
}
