"""What the server promises, on a running one; `scripts/acceptance` measures the same for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.__main__ import run

pytestmark = pytest.mark.long

CHECKS = {
    "start": ["--starts", "1"],
    "clients": ["--seconds", "1"],
    "outputs": [],
    "prediction": ["--requests", "400"],
    "many_models": ["--rounds", "2"],
    "expiry": [],
    "overload": ["--seconds", "4"],
    "kill_worker": ["--kills", "2"],
    "kill_server": ["--kills", "2"],
}


@pytest.fixture(scope="module")
def artifact_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all checks: each model is converted once."""
    return tmp_path_factory.mktemp("artifacts")


@pytest.mark.parametrize("check", CHECKS)
def test_holds(check: str, artifact_cache: Path, tmp_path: Path) -> None:
    common = ["--artifact-cache", str(artifact_cache), "--scratch", str(tmp_path)]
    (report,) = run([check, *CHECKS[check], *common])
    assert [claim for claim in report.claims if not claim.holds] == []
    assert report.holds
