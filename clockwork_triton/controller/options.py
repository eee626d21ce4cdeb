"""How the controller plans."""

from __future__ import annotations

from dataclasses import dataclass

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """Durations in nanoseconds.

    `schedule_ahead_ns`: how much work is kept planned at each executor; less binds later, more hides the
    round trip. `lead_ns`: the least time between sending an action and its start. `window_ns`: how much later
    than planned an action may start before the worker refuses it.
    `buffer_ns`, or `buffer_share` of the budget of a request if that is more: how long before its deadline an
    answer is aimed to be known, for the way to the client; the time that results take to come back from
    workers is measured, and planned for besides, but both take no more than `margin_share` of the budget.
    `patience_ns`: a request without a deadline that has waited this long is given a turn although deadlines
    press; such turns take at most `aged_share` of a device's time.
    `calibration_share`: the share of a device's time that a calibration may take from waiting requests.
    `orphan_ns`: how long a request without a deadline waits for a worker that could serve it.
    `queue_delay_ns`: how long the policy `triton` lets requests wait for company.
    `stuck_ns`: a worker is taken for stuck if an action is overdue by this and by ten times its duration.
    """

    schedule_ahead_ns: int = 2 * MS
    lead_ns: int = MS // 10
    window_ns: int = 5 * MS
    buffer_ns: int = MS // 2
    buffer_share: float = 0.03
    margin_share: float = 0.25
    patience_ns: int = SECOND
    aged_share: float = 0.05
    calibration_share: float = 0.05
    orphan_ns: int = 30 * SECOND
    queue_delay_ns: int = 0
    stuck_ns: int = SECOND
