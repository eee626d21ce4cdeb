from __future__ import annotations

import os
from pathlib import Path

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.scan import (
    DEEPEST,
    TWICE,
    FileStamp,
    check_name,
    is_version,
    model_names,
    scan,
)
from tests.repository.fakes import write, write_config, write_version


def test_models_versions_and_files(tmp_path: Path) -> None:
    write_version(tmp_path, "a", 1)
    weights = write_version(tmp_path, "a", 12).parent / "data" / "weights.bin"
    weights.parent.mkdir()
    write(weights, "external")
    write_config(tmp_path, "a", "")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "3").mkdir()
    write(tmp_path / "README.md", "no model")
    found = scan([tmp_path])
    assert list(found) == ["a", "empty"]
    assert list(found["a"].versions) == [1, 3, 12]
    assert [stamp.path for stamp in found["a"].files] == ["config.pbtxt"]
    assert [stamp.path for stamp in found["a"].versions[12]] == ["12/data/weights.bin", "12/model.onnx"]
    assert found["a"].versions[3] == ()
    assert found["empty"].versions == {}
    status = weights.stat()
    assert found["a"].versions[12][0] == FileStamp("12/data/weights.bin", 8, status.st_mtime_ns)


@pytest.mark.parametrize("name", ["0", "01", "1a", "-1", "+1", " 1", "one", "1.0", "٣", "9" * 19])
def test_other_names_are_not_versions(name: str) -> None:
    assert not is_version(name)


def test_a_file_with_the_name_of_a_version_is_none(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1)
    write(tmp_path / "m" / "2", "")
    found = scan([tmp_path])["m"]
    assert list(found.versions) == [1]
    assert [stamp.path for stamp in found.files] == ["2"]


def test_hidden_directories_are_no_models(tmp_path: Path) -> None:
    write_version(tmp_path, ".git", 1)
    assert scan([tmp_path]) == {}


def test_every_change_of_a_file_shows(tmp_path: Path) -> None:
    path = write_version(tmp_path, "m", 1)
    seen = scan([tmp_path])["m"]
    assert scan([tmp_path])["m"] == seen
    write(path, "other")
    assert scan([tmp_path])["m"] != seen


def test_a_name_in_two_repositories(tmp_path: Path) -> None:
    for root in ("one", "two"):
        write_version(tmp_path / root, "m", 1)
    write_version(tmp_path / "two", "alone", 1)
    roots = [tmp_path / "one", tmp_path / "two"]
    found = scan(roots)
    assert found["m"].refusal == TWICE
    assert not found["alone"].refusal
    assert model_names(roots) == {"m": 2, "alone": 1}


@pytest.mark.parametrize("link", ["m", "m/1", "m/1/model.onnx", "m/config.pbtxt", "m/1/deep/down"])
def test_a_link_that_climbs_out_is_refused(tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    write_version(outside, "m", 1)
    root = tmp_path / "root"
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    (root / link).symlink_to(outside)
    found = scan([root])["m"]
    assert found.refusal == f"'{Path(link).name}' leads out of the model repository"
    assert not found.versions


def test_a_link_inside_the_repository_is_followed(tmp_path: Path) -> None:
    write_version(tmp_path / "..data", "m", 1)
    (tmp_path / "m").symlink_to(Path("..data") / "m")
    found = scan([tmp_path])["m"]
    assert not found.refusal
    assert [stamp.path for stamp in found.versions[1]] == ["1/model.onnx"]


def test_a_repository_may_itself_be_a_link(tmp_path: Path) -> None:
    write_version(tmp_path / "real", "m", 1)
    (tmp_path / "link").symlink_to("real")
    assert list(scan([tmp_path / "link"])["m"].versions) == [1]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    write_version(tmp_path, "circle", 1)
    (tmp_path / "circle" / "1" / "again").symlink_to("..")
    write_version(tmp_path, "itself", 1)
    (tmp_path / "itself" / "1" / "loop").symlink_to("loop")
    (tmp_path / "loop").symlink_to("loop")
    write_version(tmp_path, "good", 1)
    found = scan([tmp_path])
    assert sorted(found) == ["circle", "good", "itself"]
    assert "deep" in found["circle"].refusal
    assert found["itself"].refusal.startswith("failed to read the model's directory")
    assert not found["good"].refusal


def test_depth_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "m"
    for _ in range(DEEPEST + 2):
        path /= "d"
    path.mkdir(parents=True)
    assert "deep" in scan([tmp_path])["m"].refusal


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    os.mkfifo(tmp_path / "m" / "1" / "model.onnx")
    assert scan([tmp_path])["m"].refusal == "'1/model.onnx' is neither a file nor a directory"


def test_a_name_with_dots_is_refused(tmp_path: Path) -> None:
    write_version(tmp_path, "a..b", 1)
    assert scan([tmp_path])["a..b"].refusal == (
        "invalid model name 'a..b', model name must not contain path traversal characters"
    )


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\\b", "a\0b"])
def test_names_that_climb(name: str) -> None:
    with pytest.raises(ServerError, match="must not contain path traversal characters") as refusal:
        check_name(name)
    assert refusal.value.code is Code.INVALID_ARG


@pytest.mark.parametrize("name", ["", "  ", "\n\t"])
def test_blank_names(name: str) -> None:
    with pytest.raises(ServerError) as refusal:
        check_name(name)
    assert refusal.value.message == "Model name cannot be empty. Please enter a valid name to deploy."


def test_a_missing_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan([tmp_path / "nowhere"])


def test_names_that_are_not_utf8_break_nothing(tmp_path: Path) -> None:
    nameless = os.fsdecode(b"\xff")
    write_version(tmp_path, nameless, 1)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / nameless).symlink_to("/")
    found = scan([tmp_path])
    assert list(found) == ["m"]
    assert found["m"].refusal == "'?' leads out of the model repository"
