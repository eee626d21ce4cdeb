"""Reads the command line of `serve` by the table of flags."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from clockwork_triton.devices import found_devices
from clockwork_triton.flag_table import FLAGS, Effect, Flag
from clockwork_triton.flag_values import BackendSetting, boolean, level
from clockwork_triton.frontend.restriction import Restriction
from clockwork_triton.repository.completion import DEFAULT_MAX_BATCH_SIZE

_BATCH_SETTING = "default-max-batch-size"


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` was asked to do; the fields are the flags that have an effect."""

    model_repository: tuple[Path, ...]
    model_control_mode: str
    load_model: tuple[str, ...]
    repository_poll_secs: float
    fallback: bool
    exit_on_error: bool
    strict_readiness: bool
    disable_auto_complete_config: bool
    model_config_name: str
    model_load_thread_count: int
    backend_config: tuple[BackendSetting, ...]
    id: str
    exit_timeout_secs: float
    allow_grpc: bool
    grpc_port: int
    grpc_address: str
    grpc_transport: str
    reuse_grpc_port: bool
    grpc_use_ssl: bool
    grpc_use_ssl_mutual: bool
    grpc_server_cert: Path | None
    grpc_server_key: Path | None
    grpc_root_cert: Path | None
    grpc_infer_response_compression_level: str
    grpc_keepalive_time: int
    grpc_keepalive_timeout: int
    grpc_keepalive_permit_without_calls: bool
    grpc_http2_max_pings_without_data: int
    grpc_http2_min_recv_ping_interval_without_data: int
    grpc_http2_max_ping_strikes: int
    grpc_max_connection_age: int
    grpc_max_connection_age_grace: int
    grpc_restricted_protocol: tuple[dict[str, Restriction], ...]
    allow_http: bool
    http_port: int
    http_address: str
    http_max_input_size: int
    http_restricted_api: tuple[dict[str, Restriction], ...]
    reuse_http_port: bool
    allow_client_shm: bool
    allow_metrics: bool
    allow_gpu_metrics: bool
    metrics_port: int
    metrics_address: str
    log_verbose: int
    log_info: bool
    log_warning: bool
    log_error: bool
    log_format: str
    log_file: str
    metrics_config: tuple[tuple[str, str], ...]
    trace_config: tuple[tuple[str, str], ...]
    cache_config: int | None
    default_slo_ms: float | None
    device: tuple[str, ...]
    device_memory: int
    device_workspace: int
    device_slot: int
    artifact_cache: Path
    frontends: int
    busy_poll_us: int
    threads: int
    policy: str
    action_log: Path | None
    request_log: Path | None

    @property
    def default_max_batch_size(self) -> int:
        """Of models that batch and whose configuration does not say how far."""
        given = [int(setting.value) for setting in self.backend_config if setting.key == _BATCH_SETTING]
        return given[-1] if given else DEFAULT_MAX_BATCH_SIZE

    @property
    def gpus(self) -> frozenset[int]:
        """The ids of the GPUs among the devices."""
        kinds = [device.partition(":") for device in self.device]
        return frozenset(int(number or 0) for kind, _, number in kinds if kind == "cuda")


class _Parser(argparse.ArgumentParser):
    """argparse's shows all flags, which are pages, before it says what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of every flag of the table. It takes no abbreviations, as Triton takes none."""
    parser = _Parser(prog="clockwork-triton serve", allow_abbrev=False)
    for flag in FLAGS:
        names = [f"--{name}" for name in (flag.name, *flag.aliases)]
        settings: dict[str, Any] = {"dest": flag.field, "type": flag.kind, "help": _help(flag)}
        if flag.repeat:
            settings |= {"action": "append", "default": []}
        else:
            settings["default"] = flag.default
        if flag.kind is boolean:
            settings |= {"nargs": "?", "const": True}
        elif flag.effect is Effect.NO_EFFECT:
            settings |= {"nargs": "?", "const": ""}
        parser.add_argument(*names, metavar=flag.field.split("_")[-1].upper(), **settings)
    return parser


def parse_serve(argv: Sequence[str], policies: Sequence[str]) -> tuple[ServeOptions, list[str]]:
    """The options, and notices: of flags given that have no effect, of GPUs that cannot be used. Exits with a
    message on bad flags."""
    parser = make_parser()
    given = vars(parser.parse_args(list(argv)))
    given |= {flag.field: tuple(given[flag.field]) for flag in FLAGS if flag.repeat}
    given["disable_auto_complete_config"] |= given["strict_model_config"]
    _check(parser, given, policies)
    notices = _notices(given)
    if not given["device"]:
        given["device"], warning = found_devices()
        notices += [warning] if warning else []
    options = ServeOptions(**{field.name: given[field.name] for field in fields(ServeOptions)})
    return options, notices


def _check(parser: argparse.ArgumentParser, given: dict[str, Any], policies: Sequence[str]) -> None:
    if not given["model_repository"]:
        parser.error("--model-repository is required")
    if given["policy"] not in policies:
        parser.error(f"--policy: '{given['policy']}' is not one of {', '.join(policies)}")
    if given["load_model"] and given["model_control_mode"] == "none":
        parser.error("--load-model needs --model-control-mode=explicit (or poll, to follow only some models)")
    for setting in given["backend_config"]:
        if setting.key == _BATCH_SETTING:
            try:
                level(setting.value)
            except argparse.ArgumentTypeError as error:
                parser.error(f"--backend-config: '{setting}': {error}")
    if given["grpc_use_ssl"] or given["grpc_use_ssl_mutual"]:
        if not (given["grpc_server_cert"] and given["grpc_server_key"]):
            parser.error("--grpc-use-ssl needs --grpc-server-cert and --grpc-server-key")
        if given["grpc_use_ssl_mutual"] and not given["grpc_root_cert"]:
            parser.error("--grpc-use-ssl-mutual needs --grpc-root-cert")
    for flag in FLAGS:
        if flag.effect is Effect.REFUSED and given[flag.field] != flag.default:
            parser.error(f"--{flag.name}: {flag.help}")


def _notices(given: dict[str, Any]) -> list[str]:
    names = [f"--{flag.name}" for flag in FLAGS if flag.effect is Effect.NO_EFFECT and given[flag.field]]
    names += [
        f"--backend-config {setting}" for setting in given["backend_config"] if setting.key != _BATCH_SETTING
    ]
    return [f"{name} is accepted, but has no effect here" for name in names]


def flag_page() -> str:
    """The table as a page of documentation, in Markdown."""
    lines = ["# Flags of `clockwork-triton serve`", ""]
    lines += ["| flag | default | |", "|---|---|---|"]
    for flag in FLAGS:
        if flag.effect is not Effect.NO_EFFECT:
            names = ", ".join(f"`--{name}`" for name in (flag.name, *flag.aliases))
            refused = "refused: " if flag.effect is Effect.REFUSED else ""
            lines.append(f"| {names} | {_shown(flag)} | {refused}{flag.help} |")
    ignored = [f"`--{flag.name}`" for flag in FLAGS if flag.effect is Effect.NO_EFFECT]
    lines += [
        "",
        "Accepted, so that Triton's launch scripts run, and without effect here (one line of the log",
    ]
    lines += [f"says so): {', '.join(sorted(ignored))}.", ""]
    return "\n".join(lines)


def _help(flag: Flag) -> str:
    default = _shown(flag)
    return f"{flag.help}{f' [{default}]' if default else ''}".replace("%", "%%")


def _shown(flag: Flag) -> str:
    value = flag.default
    if flag.shown or value is None or value in ((), ""):
        return flag.shown
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
