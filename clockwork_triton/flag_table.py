"""Every flag of `serve`, with what it does here.

Names, forms and defaults are Triton's where the flag is Triton's, so that a launch script written for it
starts this server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.cache import default_cache_dir
from clockwork_triton.flag_settings import (
    cache_size,
    compression_level,
    grpc_restriction,
    http_restriction,
    log_format,
    metrics_option,
    trace_option,
)
from clockwork_triton.flag_values import (
    backend_setting,
    boolean,
    byte_size,
    control_mode,
    count,
    device_list,
    front_ends,
    grpc_transport,
    interval,
    level,
    milliseconds,
    poll_us,
    port,
    positive_ms,
    seconds,
)


class Effect(Enum):
    """REFUSED: the server does not start with it, since what it asks for must not be passed over."""

    USED = "used"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclass(frozen=True)
class Flag:
    """`kind` parses the text; `repeat` gathers every use. A refused flag may be given with its default.

    `shown`: the default as people read it, where that differs from its value.
    """

    name: str
    kind: Callable[[str], Any]
    default: Any
    help: str
    repeat: bool = False
    aliases: tuple[str, ...] = ()
    effect: Effect = Effect.USED
    shown: str = ""

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


def _no_effect(*names: str) -> tuple[Flag, ...]:
    return tuple(
        Flag(name, str, None, "accepted, has no effect here", repeat=True, effect=Effect.NO_EFFECT)
        for name in names
    )


def _refused(name: str, kind: Callable[[str], Any], default: Any, reason: str) -> Flag:
    return Flag(name, kind, default, reason, repeat=default == (), effect=Effect.REFUSED)


MODELS: tuple[Flag, ...] = (
    Flag(
        "model-repository",
        Path,
        (),
        "directory of models; may be given more than once",
        repeat=True,
        aliases=("model-store",),
    ),
    Flag(
        "model-control-mode",
        control_mode,
        "none",
        "none: load all at start; poll: follow the directories; explicit: load by name",
    ),
    Flag(
        "load-model",
        str,
        (),
        "explicit: a model to load at start (* for all); poll: the only models to follow",
        repeat=True,
    ),
    Flag("repository-poll-secs", interval, 15.0, "seconds between two looks at the repositories (poll)"),
    Flag(
        "exit-on-error", boolean, False, "end if a model cannot be loaded at start (Triton's default: true)"
    ),
    Flag("strict-readiness", boolean, True, "ready only while every model and a worker are"),
    Flag("disable-auto-complete-config", boolean, False, "do not fill in what config.pbtxt leaves out"),
    Flag("strict-model-config", boolean, False, "older name of --disable-auto-complete-config"),
    Flag("model-config-name", str, "", "use configs/NAME.pbtxt of a model in place of config.pbtxt"),
    Flag("model-load-thread-count", count, 4, "how many model versions are loaded at once"),
    Flag(
        "backend-config",
        backend_setting,
        (),
        "onnxruntime,default-max-batch-size=N: of models whose configuration gives none [4]",
        repeat=True,
    ),
    _refused("model-namespacing", boolean, False, "every model needs a name of its own"),
)

NETWORK: tuple[Flag, ...] = (
    Flag("id", str, "triton", "the server's name in its metadata"),
    Flag("exit-timeout-secs", seconds, 30.0, "how long requests under way may take to end at shutdown"),
    Flag("allow-grpc", boolean, True, "serve gRPC"),
    Flag("grpc-port", port, 8001, "port of gRPC; 0: any"),
    Flag("grpc-address", str, "0.0.0.0", "address of gRPC"),
    Flag(
        "grpc-transport",
        grpc_transport,
        "http2",
        "http2: the server's own, which refuses in time under any load; grpcio: the reference",
    ),
    Flag("reuse-grpc-port", boolean, False, "let other processes listen on the same gRPC port"),
    Flag("grpc-use-ssl", boolean, False, "serve gRPC over TLS"),
    Flag("grpc-use-ssl-mutual", boolean, False, "serve gRPC over TLS, to clients with a certificate only"),
    Flag("grpc-server-cert", Path, None, "PEM file of the server's certificate"),
    Flag("grpc-server-key", Path, None, "PEM file of the server's key"),
    Flag("grpc-root-cert", Path, None, "PEM file of the certificates that clients' are checked against"),
    Flag(
        "grpc-infer-response-compression-level",
        compression_level,
        "none",
        "none, or low, medium or high: compress answers, with gzip at every level",
    ),
    Flag("grpc-keepalive-time", milliseconds, 7_200_000, "milliseconds of silence before a client is pinged"),
    Flag("grpc-keepalive-timeout", milliseconds, 20_000, "milliseconds that a ping's answer may take"),
    Flag("grpc-keepalive-permit-without-calls", boolean, False, "ping connections without calls too"),
    Flag("grpc-http2-max-pings-without-data", level, 2, "pings sent while nothing else is; 0: no limit"),
    Flag(
        "grpc-http2-min-recv-ping-interval-without-data",
        milliseconds,
        300_000,
        "milliseconds between two pings of a client that asks for nothing else",
    ),
    Flag("grpc-http2-max-ping-strikes", level, 2, "pings too early before a connection ends; 0: no limit"),
    Flag("grpc-max-connection-age", milliseconds, 0, "milliseconds after which a connection ends; 0: never"),
    Flag("grpc-max-connection-age-grace", milliseconds, 0, "milliseconds its calls then have; 0: no limit"),
    Flag(
        "grpc-restricted-protocol",
        grpc_restriction,
        (),
        "CATEGORIES:KEY=VALUE: those RPCs need the header triton-grpc-protocol-KEY; repeatable",
        repeat=True,
    ),
    Flag("allow-http", boolean, True, "serve HTTP/REST"),
    Flag("http-port", port, 8000, "port of HTTP; 0: any"),
    Flag("http-address", str, "0.0.0.0", "address of HTTP"),
    Flag("http-max-input-size", byte_size, 1 << 26, "longest body of an HTTP request, in bytes", shown="64M"),
    Flag(
        "http-restricted-api",
        http_restriction,
        (),
        "CATEGORIES:HEADER=VALUE: those routes need the header; repeatable",
        repeat=True,
    ),
    Flag("reuse-http-port", boolean, False, "let other processes listen on the same HTTP port"),
    Flag("allow-client-shm", boolean, False, "let clients register shared memory for their tensors"),
    Flag("allow-metrics", boolean, True, "serve Prometheus metrics"),
    Flag("allow-gpu-metrics", boolean, True, "have those of GPUs among the metrics"),
    Flag("metrics-port", port, 8002, "port of the metrics; 0: any"),
    Flag("metrics-address", str, "0.0.0.0", "address of the metrics"),
    Flag("log-verbose", level, 0, "above 0: log details"),
    Flag("log-info", boolean, True, "log what happens"),
    Flag("log-warning", boolean, True, "log warnings"),
    Flag("log-error", boolean, True, "log errors"),
    Flag("log-format", log_format, "default", "how log lines look: default or ISO8601"),
    Flag("log-file", str, "", "write the log to this file instead of standard error"),
    Flag(
        "metrics-config",
        metrics_option,
        (),
        "counter_, histogram_ or summary_latencies=BOOL, or summary_quantiles=Q:E,Q:E; may be repeated",
        repeat=True,
    ),
    Flag(
        "trace-config",
        trace_option,
        (),
        "a trace setting, as in level=TIMESTAMPS, rate=100, count=10 or triton,file=FILE; may be repeated",
        repeat=True,
    ),
    Flag(
        "cache-config",
        cache_size,
        None,
        "local,size=BYTES: keep so much of the answers of models with response_cache { enable: true }",
    ),
)

SCHEDULING: tuple[Flag, ...] = (
    Flag(
        "default-slo-ms", positive_ms, None, "budget of requests that bring none of their own; 0: no deadline"
    ),
    Flag(
        "device",
        device_list,
        (),
        "devices to serve on, with commas between them, such as cuda:0,cuda:1",
        shown="every GPU of compute capability 8.0 or newer, and cpu:0",
    ),
    Flag(
        "device-memory",
        byte_size,
        0,
        "memory of each device for weights, such as 512M",
        shown="1G; of a GPU what is free",
    ),
    Flag(
        "device-workspace",
        byte_size,
        1 << 30,
        "memory of each device for what kernels leave to the next ones of an INFER",
        shown="1G",
    ),
    Flag(
        "device-slot",
        byte_size,
        0,
        "memory of each place for the inputs and outputs of an INFER, such as 128M; a device has eight",
        shown="256M; of a GPU 64M",
    ),
    Flag(
        "artifact-cache",
        Path,
        default_cache_dir(),
        "where compiled artifacts and their profiles are kept",
        shown="~/.cache/clockwork-triton",
    ),
    Flag(
        "fallback",
        boolean,
        True,
        "run models that cannot be compiled on ONNX Runtime, where it is installed ([onnxruntime])",
    ),
    Flag(
        "frontends",
        front_ends,
        0,
        "processes that share the ports, parse and serialise; 0: the controller's own does. Worth it from "
        "four cores on",
    ),
    Flag(
        "busy-poll-us",
        poll_us,
        0,
        "microseconds for which server and workers look again and again before they sleep: less latency "
        "alone, and a core burnt each",
    ),
    Flag(
        "threads",
        count,
        1,
        "threads, and cores, that share every kernel on a CPU: less latency, for large models",
    ),
    Flag("policy", str, "adaptive", "the scheduling policy"),
    Flag("action-log", Path, None, "write a line for every LOAD, UNLOAD and INFER to this file"),
    Flag("request-log", Path, None, "write a line for every request to this file"),
)

WITHOUT_EFFECT: tuple[Flag, ...] = (
    *_no_effect("model-load-retry-count", "model-load-gpu-limit", "http-thread-count"),
    # An ONNX model takes no parameters, so there is nobody to forward headers to.
    *_no_effect("http-header-forward-pattern", "grpc-header-forward-pattern"),
    *_no_effect("grpc-infer-thread-count", "grpc-infer-allocation-pool-size"),
    *_no_effect("grpc-max-response-pool-size"),
    *_no_effect("metrics-interval-ms", "allow-cpu-metrics"),
    *_no_effect("trace-file", "trace-level", "trace-rate", "trace-count", "trace-log-frequency"),
    *_no_effect("cache-directory", "response-cache-byte-size"),
    *_no_effect("rate-limit", "rate-limit-resource", "pinned-memory-pool-byte-size"),
    *_no_effect("cuda-memory-pool-byte-size", "cuda-virtual-address-size", "enable-peer-access"),
    *_no_effect("buffer-manager-thread-count", "backend-directory", "repoagent-directory", "host-policy"),
    *_no_effect("min-supported-compute-capability"),
    *_no_effect("allow-sagemaker", "sagemaker-port", "sagemaker-safe-port-range", "sagemaker-thread-count"),
    *_no_effect("allow-vertex-ai", "vertex-ai-port", "vertex-ai-thread-count", "vertex-ai-default-model"),
)

FLAGS: tuple[Flag, ...] = (*MODELS, *NETWORK, *SCHEDULING, *WITHOUT_EFFECT)
