"""The flags of `serve`: one table that makes the parser, the notices and the documentation.

Names, forms and defaults are Triton's where the flag is Triton's, so that a launch script written for it
starts this server. What has no effect here is accepted and said in one line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.cache import default_cache_dir
from clockwork_triton.flag_values import boolean, byte_size, device_list, positive_ms

MODES = ("none", "poll", "explicit")


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` was asked to do; the fields are the flags that have an effect."""

    model_repository: tuple[Path, ...]
    model_control_mode: str
    load_model: tuple[str, ...]
    repository_poll_secs: float
    exit_on_error: bool
    strict_readiness: bool
    disable_auto_complete_config: bool
    model_config_name: str
    model_load_thread_count: int
    id: str
    exit_timeout_secs: float
    allow_grpc: bool
    grpc_port: int
    grpc_address: str
    allow_metrics: bool
    metrics_port: int
    metrics_address: str
    log_verbose: int
    log_info: bool
    log_warning: bool
    log_error: bool
    default_slo_ms: float | None
    device: tuple[str, ...]
    device_memory: int
    artifact_cache: Path
    policy: str
    action_log: Path | None
    request_log: Path | None


@dataclass(frozen=True)
class Flag:
    """`kind` parses the text; `repeat` gathers every use; a flag without `effect` is accepted and ignored."""

    name: str
    kind: Callable[[str], Any]
    default: Any
    help: str
    repeat: bool = False
    effect: bool = True
    aliases: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


USED: tuple[Flag, ...] = (
    Flag(
        "model-repository",
        Path,
        (),
        "directory of models; may be given more than once",
        repeat=True,
        aliases=("model-store",),
    ),
    Flag("model-control-mode", str, "none", "none: load all at start; poll: follow the directory; explicit"),
    Flag(
        "load-model",
        str,
        (),
        "explicit: a model to load at start (* for all); poll: the only models to follow",
        repeat=True,
    ),
    Flag("repository-poll-secs", float, 15.0, "seconds between two looks at the repository (poll)"),
    Flag(
        "exit-on-error", boolean, False, "end if a model cannot be loaded at start (Triton's default: true)"
    ),
    Flag("strict-readiness", boolean, True, "ready only when every model is"),
    Flag("disable-auto-complete-config", boolean, False, "do not fill in what config.pbtxt leaves out"),
    Flag("model-config-name", str, "", "use configs/NAME.pbtxt of a model in place of config.pbtxt"),
    Flag("model-load-thread-count", int, 4, "how many models are loaded at once"),
    Flag("id", str, "triton", "the server's name in its metadata"),
    Flag("exit-timeout-secs", float, 30.0, "how long requests under way may take to end at shutdown"),
    Flag("allow-grpc", boolean, True, "serve gRPC"),
    Flag("grpc-port", int, 8001, "port of gRPC; 0: any"),
    Flag("grpc-address", str, "0.0.0.0", "address of gRPC"),
    Flag("allow-metrics", boolean, True, "serve Prometheus metrics"),
    Flag("metrics-port", int, 8002, "port of the metrics; 0: any"),
    Flag("metrics-address", str, "0.0.0.0", "address of the metrics"),
    Flag("log-verbose", int, 0, "above 0: log details"),
    Flag("log-info", boolean, True, "log what happens"),
    Flag("log-warning", boolean, True, "log warnings"),
    Flag("log-error", boolean, True, "log errors"),
    Flag(
        "default-slo-ms", positive_ms, None, "budget of requests that bring none of their own; 0: no deadline"
    ),
    Flag("device", device_list, ("cpu:0",), "devices to serve on, with commas between them"),
    Flag("device-memory", byte_size, 1 << 30, "memory of each device for weights, such as 512M or 2G"),
    Flag("artifact-cache", Path, default_cache_dir(), "where compiled artifacts and their profiles are kept"),
    Flag("policy", str, "clockwork", "the scheduling policy"),
    Flag("action-log", Path, None, "write a line for every LOAD, UNLOAD and INFER to this file"),
    Flag("request-log", Path, None, "write a line for every request to this file"),
)

IGNORED: tuple[Flag, ...] = tuple(
    Flag(name, str, None, "accepted, has no effect here", repeat=True, effect=False)
    for name in (
        "strict-model-config",
        "model-load-retry-count",
        "model-load-gpu-limit",
        "allow-http",
        "http-port",
        "http-address",
        "http-thread-count",
        "http-max-input-size",
        "http-header-forward-pattern",
        "http-restricted-api",
        "reuse-http-port",
        "reuse-grpc-port",
        "grpc-infer-thread-count",
        "grpc-infer-allocation-pool-size",
        "grpc-max-response-pool-size",
        "metrics-interval-ms",
        "allow-gpu-metrics",
        "allow-cpu-metrics",
        "log-format",
        "rate-limit",
        "rate-limit-resource",
        "pinned-memory-pool-byte-size",
        "cuda-memory-pool-byte-size",
        "buffer-manager-thread-count",
        "backend-directory",
        "backend-config",
        "repoagent-directory",
        "host-policy",
        "min-supported-compute-capability",
    )
)


class _Parser(argparse.ArgumentParser):
    """Rejects abbreviations, as Triton does."""

    def __init__(self) -> None:
        super().__init__(prog="clockwork-triton serve", allow_abbrev=False)


def make_parser() -> argparse.ArgumentParser:
    """The parser of every flag of the table."""
    parser = _Parser()
    for flag in (*USED, *IGNORED):
        names = [f"--{name}" for name in (flag.name, *flag.aliases)]
        settings: dict[str, Any] = {"dest": flag.field, "type": flag.kind, "help": _help(flag)}
        if flag.repeat:
            settings["action"] = "append"
        else:
            settings["default"] = flag.default
        if flag.kind is boolean or not flag.effect:
            settings |= {"nargs": "?", "const": True if flag.effect else ""}
        if flag.name == "model-control-mode":
            settings["choices"] = MODES
        parser.add_argument(*names, **settings)
    return parser


def parse_serve(argv: Sequence[str], policies: Sequence[str]) -> tuple[ServeOptions, list[str]]:
    """The options, and a notice for each flag given that has no effect. Exits with a message on bad flags."""
    parser = make_parser()
    given = vars(parser.parse_args(list(argv)))
    notices = [f"--{flag.name} is accepted, but has no effect here" for flag in IGNORED if given[flag.field]]
    values = {field.name: given[field.name] for field in fields(ServeOptions)}
    values |= {flag.field: tuple(values[flag.field] or ()) for flag in USED if flag.repeat}
    if not values["model_repository"]:
        parser.error("--model-repository is required")
    if values["policy"] not in policies:
        parser.error(f"--policy: '{values['policy']}' is not one of {', '.join(policies)}")
    return ServeOptions(**values), notices


def _help(flag: Flag) -> str:
    default = "" if flag.default in (None, (), "") else f" [{_shown(flag.default)}]"
    return f"{flag.help}{default}".replace("%", "%%")


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value).replace(str(Path.home()), "~")
