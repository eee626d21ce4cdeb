from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.flag_settings import latency_options
from clockwork_triton.flag_table import FLAGS, Effect
from clockwork_triton.flags import ServeOptions, flag_page, make_parser, parse_serve
from clockwork_triton.frontend.grpc_options import GrpcOptions, KeepAlive, Tls
from clockwork_triton.frontend.restriction import Restriction
from clockwork_triton.ports import grpc_options
from clockwork_triton.telemetry.latency_options import LatencyOptions

POLICIES = ("adaptive", "clockwork")
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
        (["--grpc-transport=grpcio"], "grpc_transport", "grpcio"),
        ([], "grpc_transport", "http2"),
        (["--device", "cpu:0,cpu:1"], "device", ("cpu:0", "cpu:1")),
        (["--device=cuda,emulated,emulated:cpu-1.2"], "device", ("cuda", "emulated", "emulated:cpu-1.2")),
        (["--device-memory", "2G"], "device_memory", 2 << 30),
        (["--device-memory", "1.5MiB"], "device_memory", 3 << 19),
        (["--device-workspace", "4G"], "device_workspace", 4 << 30),
        (["--device-slot", "128M"], "device_slot", 128 << 20),
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
        (["--cache-config=local,size=1048576"], "cache_config", 1 << 20),
        (["--log-format=ISO8601"], "log_format", "ISO8601"),
        (
            [
                "--trace-config=level=TIMESTAMPS",
                "--trace-config",
                "triton,file=f",
                "--trace-config=mode=triton",
            ],
            "trace_config",
            (("level", "TIMESTAMPS"), ("file", "f"), ("mode", "triton")),
        ),
        (["--http-max-input-size=1000"], "http_max_input_size", 1000),
        (
            ["--http-restricted-api=health,logging:key=a=b"],
            "http_restricted_api",
            (dict.fromkeys(("health", "logging"), Restriction("key", "a=b")),),
        ),
        (
            ["--grpc-restricted-protocol=trace:admin=secret"],
            "grpc_restricted_protocol",
            ({"trace": Restriction("triton-grpc-protocol-admin", "secret")},),
        ),
        (["--grpc-infer-response-compression-level=low"], "grpc_infer_response_compression_level", "low"),
        (
            ["--grpc-use-ssl=1", "--grpc-server-cert=c", "--grpc-server-key=k"],
            "grpc_server_cert",
            Path("c"),
        ),
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
        ["--log-format=odd"],
        ["--cache-config=redis,host=x"],
        ["--cache-config=local,size=0"],
        ["--metrics-config=odd=1"],
        ["--metrics-config=summary_latencies=perhaps"],
        ["--metrics-config=summary_quantiles=1.5:0.1"],
        ["--trace-config=loudness=11"],
        ["--trace-config=mode=opentelemetry"],
        ["--trace-config=opentelemetry,url=x"],
        ["--http-restricted-api=all:key=value"],
        ["--http-restricted-api=health"],
        ["--grpc-infer-response-compression-level=11"],
        ["--grpc-use-ssl"],
        ["--grpc-use-ssl-mutual", "--grpc-server-cert=c", "--grpc-server-key=k"],
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
        ["--device", "gpu:0"],
        ["--device", "emulate:kind"],
        ["--device", "cpu:"],
        ["--backend-config=onnxruntime,default-max-batch-size=" + "9" * 5000],
        ["--backend-config=onnxruntime,default-max-batch-size=²"],
        ["--backend-config=nothing"],
        ["--backend-config=,a=b"],
        ["--backend-config=onnxruntime,default-max-batch-size=many"],
        ["--load-model=m"],
        ["--model-namespacing=true"],
    ],
)
def test_a_bad_flag_ends_with_a_message(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*argv)
    assert ended.value.code == 2
    assert argv[0].split("=")[0].lstrip("-")[:5] in capsys.readouterr().err


def test_an_error_is_a_line_that_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--device=gpu:0")
    (line,) = capsys.readouterr().err.splitlines()
    assert "'gpu:0' is not a device: there are cpu:N, cuda:N (GPU number N) and emulated:KIND" in line
    assert line.endswith("(see --help)")


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
    _, notices = parse_serve([*BASE, "--allow-cpu-metrics", "--http-thread-count", "8080"], POLICIES)
    assert notices == [
        "--http-thread-count is accepted, but has no effect here",
        "--allow-cpu-metrics is accepted, but has no effect here",
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


def test_what_is_said_of_grpc_reaches_its_options() -> None:
    flags = ["--grpc-use-ssl-mutual", "--grpc-server-cert=c", "--grpc-server-key=k", "--grpc-root-cert=r"]
    flags += ["--reuse-grpc-port", "--grpc-infer-response-compression-level=high"]
    flags += ["--grpc-keepalive-time=1", "--grpc-keepalive-timeout=2", "--grpc-max-connection-age=6"]
    flags += ["--grpc-keepalive-permit-without-calls", "--grpc-http2-max-pings-without-data=3"]
    flags += ["--grpc-http2-min-recv-ping-interval-without-data=4", "--grpc-http2-max-ping-strikes=5"]
    flags += ["--grpc-max-connection-age-grace=7"]
    options, _ = parse_serve([*BASE, *flags], POLICIES)
    assert grpc_options(options) == GrpcOptions(
        Tls(Path("c"), Path("k"), Path("r")), KeepAlive(1, 2, True, 3, 4, 5, 6, 7), "high", True
    )
    options, _ = parse_serve(BASE, POLICIES)
    assert grpc_options(options) == GrpcOptions()


def test_the_forms_of_latencies() -> None:
    flags = ["--metrics-config=summary_latencies=true", "--metrics-config=counter_latencies=false"]
    flags += ["--metrics-config", "summary_quantiles=0.5:0.05,0.99:0.001"]
    options, _ = parse_serve([*BASE, *flags], POLICIES)
    assert latency_options(options.metrics_config) == LatencyOptions(False, False, True, (0.5, 0.99))
    options, _ = parse_serve(BASE, POLICIES)
    assert latency_options(options.metrics_config) == LatencyOptions()
