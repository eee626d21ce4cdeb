"""What the command line says about gRPC connections, for any transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

COMPRESSION_LEVELS = ("none", "low", "medium", "high")


@dataclass(frozen=True)
class Tls:
    """PEM files. `client_roots`: what clients' certificates are checked by (mutual TLS); None: no check."""

    certificate: Path
    key: Path
    client_roots: Path | None = None


@dataclass(frozen=True)
class KeepAlive:
    """gRPC's own settings with Triton's defaults. `max_age_ms` and its grace: 0 stands for no end."""

    time_ms: int = 7_200_000
    timeout_ms: int = 20_000
    permit_without_calls: bool = False
    max_pings_without_data: int = 2
    min_recv_ping_interval_without_data_ms: int = 300_000
    max_ping_strikes: int = 2
    max_age_ms: int = 0
    max_age_grace_ms: int = 0


@dataclass(frozen=True)
class GrpcOptions:
    """`compression`: of answers, one of COMPRESSION_LEVELS."""

    tls: Tls | None = None
    keepalive: KeepAlive = field(default_factory=KeepAlive)
    compression: str = "none"
    reuse_port: bool = False
