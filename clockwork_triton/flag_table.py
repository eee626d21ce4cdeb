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
from clockwork_triton.flag_values import (
    backend_setting,
    boolean,
    byte_size,
    control_mode,
    count,
    device_list,
    grpc_transport,
    interval,
    level,
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
    Flag("strict-readiness", boolean, True, "ready only when every model is"),
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
        "grpcio",
        "grpcio: the reference; http2: the server's own, several times cheaper",
    ),
    Flag("allow-metrics", boolean, True, "serve Prometheus metrics"),
    Flag("metrics-port", port, 8002, "port of the metrics; 0: any"),
    Flag("metrics-address", str, "0.0.0.0", "address of the metrics"),
    Flag("log-verbose", level, 0, "above 0: log details"),
    Flag("log-info", boolean, True, "log what happens"),
    Flag("log-warning", boolean, True, "log warnings"),
    Flag("log-error", boolean, True, "log errors"),
    _refused("grpc-use-ssl", boolean, False, "TLS is not supported yet"),
    _refused("grpc-use-ssl-mutual", boolean, False, "TLS is not supported yet"),
    _refused("grpc-restricted-protocol", str, (), "restricting protocols is not supported yet"),
)

SCHEDULING: tuple[Flag, ...] = (
    Flag(
        "default-slo-ms", positive_ms, None, "budget of requests that bring none of their own; 0: no deadline"
    ),
    Flag("device", device_list, ("cpu:0",), "devices to serve on, with commas between them"),
    Flag("device-memory", byte_size, 1 << 30, "memory of each device for weights, such as 512M", shown="1G"),
    Flag(
        "artifact-cache",
        Path,
        default_cache_dir(),
        "where compiled artifacts and their profiles are kept",
        shown="~/.cache/clockwork-triton",
    ),
    Flag("policy", str, "clockwork", "the scheduling policy"),
    Flag("action-log", Path, None, "write a line for every LOAD, UNLOAD and INFER to this file"),
    Flag("request-log", Path, None, "write a line for every request to this file"),
)

WITHOUT_EFFECT: tuple[Flag, ...] = (
    *_no_effect("model-load-retry-count", "model-load-gpu-limit", "allow-client-shm"),
    *_no_effect("allow-http", "http-port", "http-address", "http-thread-count", "http-max-input-size"),
    *_no_effect("http-header-forward-pattern", "http-restricted-api", "reuse-http-port", "reuse-grpc-port"),
    *_no_effect("grpc-infer-thread-count", "grpc-infer-allocation-pool-size"),
    *_no_effect("grpc-max-response-pool-size", "grpc-infer-response-compression-level"),
    *_no_effect("grpc-server-cert", "grpc-server-key", "grpc-root-cert", "grpc-header-forward-pattern"),
    *_no_effect("grpc-keepalive-time", "grpc-keepalive-timeout", "grpc-keepalive-permit-without-calls"),
    *_no_effect("grpc-http2-max-pings-without-data", "grpc-http2-max-ping-strikes"),
    *_no_effect("grpc-http2-min-recv-ping-interval-without-data"),
    *_no_effect("grpc-max-connection-age", "grpc-max-connection-age-grace"),
    *_no_effect("metrics-interval-ms", "allow-gpu-metrics", "allow-cpu-metrics", "metrics-config"),
    *_no_effect("log-format", "log-file", "trace-config", "trace-file", "trace-level", "trace-rate"),
    *_no_effect("trace-count", "trace-log-frequency"),
    *_no_effect("cache-config", "cache-directory", "response-cache-byte-size"),
    *_no_effect("rate-limit", "rate-limit-resource", "pinned-memory-pool-byte-size"),
    *_no_effect("cuda-memory-pool-byte-size", "cuda-virtual-address-size", "enable-peer-access"),
    *_no_effect("buffer-manager-thread-count", "backend-directory", "repoagent-directory", "host-policy"),
    *_no_effect("min-supported-compute-capability"),
    *_no_effect("allow-sagemaker", "sagemaker-port", "sagemaker-safe-port-range", "sagemaker-thread-count"),
    *_no_effect("allow-vertex-ai", "vertex-ai-port", "vertex-ai-thread-count", "vertex-ai-default-model"),
)

FLAGS: tuple[Flag, ...] = (*MODELS, *NETWORK, *SCHEDULING, *WITHOUT_EFFECT)
