"""What a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    GOOD = "good"
    POOR = "poor"
    """It works, with longer or less even times."""
    BAD = "bad"
    """It does not work."""


@dataclass(frozen=True)
class Finding:
    """`change`: what to do, `gain`: what that buys; both empty where all is well."""

    subject: str
    verdict: Verdict
    found: str
    change: str = ""
    gain: str = ""
