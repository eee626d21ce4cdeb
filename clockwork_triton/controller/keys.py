"""How urgency is written as one number, smallest first."""

from __future__ import annotations

# Later than any moment. A request without a deadline is due FAR after its arrival, so that such requests
# stand behind all deadlines, in the order of their arrival.
FAR = 1 << 61

# Ranks (priority levels) lie this far apart in a key, further than any due time.
RANK_SHIFT = 63

# Larger than any key.
NEVER = 1 << 100


def rank_of(priority: int) -> int:
    """Level 1 sorts first, then 2 and so on; level 0, the default, sorts last and is rank 0."""
    return priority - (1 << 32) if priority > 0 else 0


def key_of(rank: int, time_ns: int) -> int:
    return (rank << RANK_SHIFT) + time_ns


def rank_in(key: int) -> int:
    return key >> RANK_SHIFT
