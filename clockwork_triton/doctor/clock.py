"""Whether the clock of a GPU is locked, as far as that can be told.

NVML sets a lock (nvidia-smi -lgc), but has no question for it. What it tells is why the clock is not higher,
and a setting is one of the reasons. Besides, a GPU without a lock lets its clock fall while nobody has a
context on it; with one, GPUs of data centres idle at their full clock, locked or not.
"""

from __future__ import annotations

from clockwork_triton.doctor.finding import Finding, Verdict
from clockwork_triton.nvml import CLOCK_SETTING, GpuSetup

IDLE_UTILIZATION = 0.05
IDLE_CLOCK = 0.3
"""Of the highest. GPUs idle at a tenth to a fifth of it; their base clocks begin at 0.37 (T4)."""
GAIN = "times within a thousandth of each other (0.03 % in Clockwork's paper), not within percents"


def clock(setup: GpuSetup, alone: bool) -> Finding:
    """`alone`: nobody has a context on it, as far as that can be seen."""
    subject = f"GPU {setup.index} clock"
    lock = (
        f"nvidia-smi -i {setup.index} -lgc CLOCK, of those that nvidia-smi -q -d SUPPORTED_CLOCKS names, and "
        "low enough to be held under load"
    )
    if not setup.clock_mhz or not setup.max_clock_mhz:
        return Finding(subject, Verdict.POOR, "it does not tell")
    found = f"{setup.clock_mhz} of {setup.max_clock_mhz} MHz"
    if (setup.reasons or 0) & CLOCK_SETTING:
        return Finding(subject, Verdict.GOOD, f"{found}, by a setting")
    idles = (setup.utilization or 0) <= IDLE_UTILIZATION
    if idles and setup.clock_mhz < IDLE_CLOCK * setup.max_clock_mhz:
        return Finding(subject, Verdict.POOR, f"{found} while it idles: not locked", lock, GAIN)
    # Without persistence the driver has only just set it up, to ask it, at a high clock.
    if idles and alone and setup.persistent:
        return Finding(subject, Verdict.GOOD, f"{found} though nothing runs on it: locked")
    why = "while it works" if not idles else "while something may have a context on it"
    return Finding(
        subject,
        Verdict.POOR,
        f"{found} {why}: it cannot be told whether it is locked",
        f"{lock}, unless that has been done",
        GAIN,
    )
