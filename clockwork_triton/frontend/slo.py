"""From the budgets that a request comes with to the one deadline that it has."""

from __future__ import annotations

_FOREVER_NS = 1 << 61
"""73 years: a longer budget is none, so that no deadline leaves the range of 64 bits."""
BEHIND_NS = 5_000_000
"""A request that waits longer to be looked at says that the front end has fallen behind."""


def deadline(
    arrival_ns: int, timeout_us: int, transport_deadline_ns: int | None, default_budget_ns: int | None
) -> int | None:
    """The earliest moment that any of the budgets ends, None where there is none.

    `timeout_us`: the request's own parameter, 0 or less if it has none. `transport_deadline_ns`: absolute.
    `default_budget_ns`: the smaller of the model's and the server's.
    """
    budget = default_budget_ns
    if timeout_us > 0 and (budget is None or timeout_us * 1000 < budget):
        budget = timeout_us * 1000
    ends = transport_deadline_ns
    if budget is not None and (ends is None or arrival_ns + budget < ends):
        ends = arrival_ns + budget
    return None if ends is None or ends - arrival_ns >= _FOREVER_NS else ends


def overdue(arrival_ns: int, deadline_ns: int, now_ns: int) -> bool:
    """Whether a request is to be refused at the door: its deadline has passed, or the front end is so far
    behind that a quarter of its budget has.

    The way back through a front end that is behind takes as long as the way in, for the result and again for
    the answer, which no plan of the workers' time knows. Refusing early keeps what waits before the door
    short, and costs little.
    """
    waited_ns = now_ns - arrival_ns
    return now_ns >= deadline_ns or (waited_ns > BEHIND_NS and 4 * waited_ns > deadline_ns - arrival_ns)
