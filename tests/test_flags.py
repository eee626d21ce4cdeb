from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.flag_table import FLAGS, Effect
from clockwork_triton.flags import ServeOptions, flag_page, make_parser, parse_serve

POLICIES = ("clockwork",)
BASE = ["--model-repository", "/models"]


def parse(*argv: str) -> ServeOptions:
    return parse_serve([*BASE, *argv], POLICIES)[0]


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--strict-readiness=false"], "strict_readiness", False),
        (["--strict-readiness", "off"], "strict_readiness", False),
        (["--exit-on-error"], "exit_on_error", True),
        (["--exit-on-error=1"], "exit_on_error", True),
        (["--grpc-port=9000"], "grpc_port", 9000),
        (["--grpc-transport=http2"], "grpc_transport", "http2"),
        ([], "grpc_transport", "grpcio"),
        (["--device", "cpu:0,cpu:1"], "device", ("cpu:0", "cpu:1")),
        (["--device-memory", "2G"], "device_memory", 2 << 30),
        (["--device-memory", "1.5MiB"], "device_memory", 3 << 19),
        (["--default-slo-ms", "25"], "default_slo_ms", 25.0),
        (["--default-slo-ms", "0"], "default_slo_ms", None),
        (["--load-model=a", "--load-model", "b", "--model-control-mode=poll"], "load_model", ("a", "b")),
        (["--strict-model-config=true"], "disable_auto_complete_config", True),
        (["--backend-config=onnxruntime,default-max-batch-size=16"], "default_max_batch_size", 16),
        (["--backend-config=default-max-batch-size=0"], "default_max_batch_size", 0),
        ([], "default_max_batch_size", 4),
        ([], "gpus", frozenset()),
        (["--device=cuda:0,cuda:3,cpu:0"], "gpus", frozenset({0, 3})),
        (["--grpc-use-ssl=false", "--model-namespacing", "false"], "grpc_port", 8001),
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
        ["--grpc-transport=pigeon"],
        ["--grpc-port=70000"],
        ["--grpc-port=one"],
        ["--repository-poll-secs=0"],
        ["--repository-poll-secs=nan"],
        ["--exit-timeout-secs=-1"],
        ["--model-load-thread-count=0"],
        ["--repository-poll-secs=0.0001"],
        ["--repository-poll-secs=1e300"],
        ["--exit-timeout-secs=inf"],
        ["--exit-timeout-secs=1e300"],
        ["--model-load-thread-count=-1"],
        ["--model-load-thread-count=" + "9" * 5000],
        ["--log-verbose=-1"],
        ["--log-verbose=many"],
        ["--default-slo-ms=1e300"],
        ["--default-slo-ms=nan"],
        ["--device-memory", "0.1"],
        ["--device-memory", "9999999T"],
        ["--device", "cuda:first"],
        ["--device", "cpu:"],
        ["--backend-config=onnxruntime,default-max-batch-size=" + "9" * 5000],
        ["--backend-config=onnxruntime,default-max-batch-size=²"],
        ["--backend-config=nothing"],
        ["--backend-config=,a=b"],
        ["--backend-config=onnxruntime,default-max-batch-size=many"],
        ["--load-model=m"],
        ["--model-namespacing=true"],
        ["--grpc-use-ssl"],
        ["--grpc-restricted-protocol=health:key=value"],
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
        "--backend-config onnxruntime,a=b is accepted, but has no effect here",
    ]


def test_a_flag_without_effect_needs_no_value() -> None:
    _, notices = parse_serve([*BASE, "--allow-gpu-metrics", "--http-port", "8080"], POLICIES)
    assert notices == [
        "--http-port is accepted, but has no effect here",
        "--allow-gpu-metrics is accepted, but has no effect here",
    ]


def test_the_help_shows_every_flag() -> None:
    text = make_parser().format_help()
    assert all(f"--{flag.name}" in text for flag in FLAGS)


def test_no_flag_is_named_twice() -> None:
    names = [name for flag in FLAGS for name in (flag.name, *flag.aliases)]
    assert len(set(names)) == len(names)


def test_every_flag_with_an_effect_is_an_option() -> None:
    used = {flag.field for flag in FLAGS if flag.effect is Effect.USED}
    assert used - {"strict_model_config"} == set(ServeOptions.__dataclass_fields__)


def test_the_page_of_flags_is_fresh() -> None:
    page = Path(__file__).parent.parent / "docs" / "flags.md"
    assert page.read_text() == flag_page(), "docs/flags.md is stale: run scripts/generate-flags"


def test_every_number_is_bounded() -> None:
    """`int` and `float` by themselves would take what makes a server hang, spin or overflow."""
    assert not [flag.name for flag in FLAGS if flag.kind in (int, float)]
