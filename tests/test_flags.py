from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.flags import IGNORED, USED, make_parser, parse_serve

POLICIES = ("clockwork",)
BASE = ["--model-repository", "/models"]


def parse(*argv: str) -> object:
    return parse_serve([*BASE, *argv], POLICIES)[0]


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--strict-readiness=false"], "strict_readiness", False),
        (["--strict-readiness", "off"], "strict_readiness", False),
        (["--exit-on-error"], "exit_on_error", True),
        (["--exit-on-error=1"], "exit_on_error", True),
        (["--grpc-port=9000"], "grpc_port", 9000),
        (["--device", "cpu:0,cpu:1"], "device", ("cpu:0", "cpu:1")),
        (["--device-memory", "2G"], "device_memory", 2 << 30),
        (["--device-memory", "1.5MiB"], "device_memory", 3 << 19),
        (["--default-slo-ms", "25"], "default_slo_ms", 25.0),
        (["--default-slo-ms", "0"], "default_slo_ms", None),
        (["--load-model=a", "--load-model", "b"], "load_model", ("a", "b")),
        (["--model-store=/more"], "model_repository", (Path("/models"), Path("/more"))),
        ([], "id", "triton"),
    ],
)
def test_values_are_read_in_tritons_forms(argv: list[str], field: str, value: object) -> None:
    assert getattr(parse(*argv), field) == value


@pytest.mark.parametrize(
    "argv",
    [
        ["--no-such-flag"],
        ["--grpc-por=1"],
        ["--device-memory", "0"],
        ["--device-memory", "lots"],
        ["--device", "cpu:0,cpu:0"],
        ["--device", "CPU zero"],
        ["--strict-readiness=maybe"],
        ["--default-slo-ms=-1"],
        ["--model-control-mode=sometimes"],
        ["--policy=hope"],
    ],
)
def test_a_bad_flag_ends_with_a_message(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*argv)
    assert ended.value.code == 2
    assert argv[0].split("=")[0].lstrip("-")[:5] in capsys.readouterr().err


def test_a_repository_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_serve([], POLICIES)
    assert "--model-repository is required" in capsys.readouterr().err


def test_a_launch_script_for_triton_is_accepted_with_notices() -> None:
    options, notices = parse_serve(
        [
            "--model-store=/mnt/models",
            "--grpc-port=9000",
            "--backend-config=onnxruntime,a=b",
            "--rate-limit=off",
        ],
        POLICIES,
    )
    assert options.grpc_port == 9000
    assert notices == [
        "--rate-limit is accepted, but has no effect here",
        "--backend-config is accepted, but has no effect here",
    ]


def test_the_help_shows_every_flag() -> None:
    text = make_parser().format_help()
    assert all(f"--{flag.name}" in text for flag in (*USED, *IGNORED))
