from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from clockwork_triton.artifact.profile import Distribution, Profile

PROFILE = Profile(
    "cpu-x-1t", Distribution.of([5, 7]), {1: Distribution.of([1, 2, 3]), 4: Distribution.of([8])}, 1410
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    PROFILE.write(tmp_path)
    assert Profile.read(tmp_path, "cpu-x-1t") == PROFILE
    assert Profile.read(tmp_path, "cpu-y-1t") is None
    assert [path.name for path in tmp_path.iterdir()] == ["profile-cpu-x-1t.json"]
    assert (tmp_path / "profile-cpu-x-1t.json").stat().st_mode & 0o777 == 0o644


def test_a_profile_from_before_clocks_were_noted_has_none(tmp_path: Path) -> None:
    PROFILE.write(tmp_path)
    path = Profile.path(tmp_path, "cpu-x-1t")
    document = json.loads(path.read_text())
    del document["clock_mhz"]
    path.write_text(json.dumps(document))
    assert Profile.read(tmp_path, "cpu-x-1t") == replace(PROFILE, clock_mhz=0)


def test_writers_at_once_do_not_share_a_scratch_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer comes between the first one's writing and its renaming."""
    rename = os.replace
    scratches = []

    def between(scratch: str, path: Path) -> None:
        scratches.append(scratch)
        if len(scratches) == 1:
            PROFILE.write(tmp_path)
        rename(scratch, path)

    monkeypatch.setattr(os, "replace", between)
    PROFILE.write(tmp_path)
    assert len(set(scratches)) == 2
    assert Profile.read(tmp_path, "cpu-x-1t") == PROFILE


def test_a_failure_leaves_the_old_profile_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PROFILE.write(tmp_path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        Profile("cpu-x-1t", PROFILE.load, {}).write(tmp_path)
    assert Profile.read(tmp_path, "cpu-x-1t") == PROFILE
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"device_kind": "k", "load": {}, "infer": {}})])
def test_what_is_no_profile_is_none(text: str, tmp_path: Path) -> None:
    Profile.path(tmp_path, "k").write_text(text)
    assert Profile.read(tmp_path, "k") is None
