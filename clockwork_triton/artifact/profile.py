"""Measured running times of an artifact on one kind of device."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Distribution:
    """Durations in nanoseconds, summarised."""

    count: int
    min_ns: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int

    @classmethod
    def of(cls, durations_ns: Sequence[int]) -> Distribution:
        """Summary of one or more durations, percentiles by the nearest-rank method."""
        assert durations_ns
        ordered = sorted(durations_ns)

        def rank(percent: int) -> int:
            return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]

        return cls(len(ordered), ordered[0], rank(50), rank(90), rank(99), ordered[-1])


@dataclass(frozen=True)
class Profile:
    """INFER time per batch size and LOAD time. `clock_mhz`: the device's clock at which it was measured, 0 if
    it told none."""

    device_kind: str
    load: Distribution
    infer: Mapping[int, Distribution]
    clock_mhz: int = 0

    @staticmethod
    def path(artifact: Path, device_kind: str) -> Path:
        return artifact / f"profile-{device_kind}.json"

    def write(self, artifact: Path) -> None:
        """Puts the profile into the artifact, in one step, as any number of processes may. OSError."""
        document = {
            "device_kind": self.device_kind,
            "clock_mhz": self.clock_mhz,
            "load": asdict(self.load),
            "infer": {str(size): asdict(times) for size, times in sorted(self.infer.items())},
        }
        path = self.path(artifact, self.device_kind)
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".tmp", dir=artifact)
        try:
            with open(descriptor, "w") as file:
                file.write(json.dumps(document, indent=2) + "\n")
            os.chmod(scratch, 0o644)  # mkstemp's 0600 would hide it from servers of other users
            os.replace(scratch, path)
        except BaseException:
            os.unlink(scratch)
            raise

    @classmethod
    def read(cls, artifact: Path, device_kind: str) -> Profile | None:
        """The stored profile, or None where there is none or it cannot be read."""
        try:
            document = json.loads(cls.path(artifact, device_kind).read_text())
            return cls(
                document["device_kind"],
                Distribution(**document["load"]),
                {int(size): Distribution(**times) for size, times in document["infer"].items()},
                document.get("clock_mhz", 0),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
