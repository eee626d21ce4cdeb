from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.errors import ServerError
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.plan import (
    ConfigOptions,
    choose_versions,
    onnx_path,
    plan_model,
    prepare_version,
    read_labels,
)
from clockwork_triton.repository.queue_policy import ANY_REQUEST
from tests.repository.fakes import VECTOR, write, write_config, write_version

NONE = ConfigOptions()


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", (11,)),
        ("latest { }", (11,)),
        ("latest { num_versions: 2 }", (3, 11)),
        ("latest { num_versions: 9 }", (1, 3, 11)),
        ("all { }", (1, 3, 11)),
        ("specific { versions: [ 3, 1, 4 ] }", (1, 3)),
        ("specific { versions: [ 4 ] }", ()),
    ],
)
def test_version_policies(policy: str, chosen: tuple[int, ...]) -> None:
    config = parse_text(f"version_policy {{ {policy} }}" if policy else "")
    assert choose_versions(config.version_policy, [11, 1, 3]) == chosen


def test_a_model_without_a_configuration(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1)
    plan = plan_model("m", tmp_path / "m", [1], NONE)
    assert (plan.config.name, plan.config.backend, plan.versions) == ("m", "onnxruntime", (1,))
    prepared = prepare_version(plan, 1, VECTOR, NONE)
    assert prepared.source.shapes == {"X": (3,)}
    assert prepared.source.onnx == tmp_path / "m" / "1" / "model.onnx"
    assert prepared.source.config.max_batch_size == 4
    assert prepared.queue == ANY_REQUEST
    assert plan.config.max_batch_size == 0


def test_the_plan_tells_what_has_no_effect(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1)
    write_config(
        tmp_path, "m", "version_policy { specific { versions: [ 1, 7 ] } } instance_group [ { count: 2 } ]"
    )
    assert plan_model("m", tmp_path / "m", [1], NONE).notices == (
        "instance_group.count: no effect, a device runs one inference at a time",
        "version 7 is specified but its directory is not present",
    )


def test_no_version_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path, "m", 'backend: "onnxruntime"')
    with pytest.raises(ServerError) as refusal:
        plan_model("m", tmp_path / "m", [], NONE)
    assert refusal.value.message == (
        "at least one version must be available under the version policy of model 'm'"
    )


def test_the_file_may_have_another_name_or_be_a_directory(tmp_path: Path) -> None:
    write_config(tmp_path, "m", 'backend: "onnxruntime" default_model_filename: "net.onnx"')
    (tmp_path / "m" / "1").mkdir()
    plan = plan_model("m", tmp_path / "m", [1], NONE)
    with pytest.raises(ServerError, match=r"version 1 of model 'm' has no file 'net\.onnx'"):
        onnx_path(plan, 1)
    inside = tmp_path / "m" / "1" / "net.onnx" / "model.onnx"
    inside.parent.mkdir()
    write(inside, "")
    assert onnx_path(plan, 1) == inside


@pytest.mark.parametrize("filename", ["../secret", "/etc/passwd", "a/../../b", "..\\x"])
def test_file_names_that_lead_out_are_refused(tmp_path: Path, filename: str) -> None:
    escaped = filename.replace("\\", "\\\\")
    write_config(tmp_path, "m", f'backend: "onnxruntime" default_model_filename: "{escaped}"')
    plan = plan_model("m", tmp_path / "m", [1], NONE)
    with pytest.raises(ServerError, match="leads out of the model"):
        onnx_path(plan, 1)
    with pytest.raises(ServerError, match="leads out of the model"):
        read_labels(parse_text(f'output [ {{ name: "Y" label_filename: "{escaped}" }} ]'), tmp_path)


def test_labels(tmp_path: Path) -> None:
    write(tmp_path / "labels.txt", "cat\ndog\n")
    config = parse_text('output [ { name: "Y" label_filename: "labels.txt" }, { name: "Z" } ]')
    assert read_labels(config, tmp_path) == {"Y": ("cat", "dog")}


def test_a_missing_label_file_is_refused(tmp_path: Path) -> None:
    config = parse_text('name: "m" output [ { name: "Y" label_filename: "labels.txt" } ]')
    with pytest.raises(ServerError) as refusal:
        read_labels(config, tmp_path)
    assert refusal.value.message == (
        "failed to read label file 'labels.txt' of output 'Y' of model 'm': No such file or directory"
    )


def test_auto_completion_can_be_switched_off(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1)
    options = ConfigOptions(auto_complete=False)
    plan = plan_model("m", tmp_path / "m", [1], options)
    with pytest.raises(ServerError, match="configuration expects 0 inputs, model provides 1"):
        prepare_version(plan, 1, VECTOR, options)


def test_a_bad_slo_is_found_before_anything_loads(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1)
    write_config(tmp_path, "m", 'parameters { key: "slo_ms" value { string_value: "x" } }')
    with pytest.raises(ServerError, match="slo_ms"):
        plan_model("m", tmp_path / "m", [1], NONE)


def test_an_override_stands_in_for_the_file(tmp_path: Path) -> None:
    write_version(tmp_path, "m", 1)
    write_config(tmp_path, "m", "max_batch_size: 2")
    override = parse_text("max_batch_size: 16")
    assert plan_model("m", tmp_path / "m", [1], NONE, override).config.max_batch_size == 16
    assert not override.name
