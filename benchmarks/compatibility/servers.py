"""Starts the two servers, on loopback only."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.serving.processes import started
from benchmarks.serving.server import free_ports

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Ports:
    """And the process that listens on them."""

    http: int
    grpc: int
    metrics: int
    pid: int = 0


@contextlib.contextmanager
def triton(wheel: Path, repository: Path, log: Path, *flags: str) -> Iterator[Ports]:
    """`wheel`: an unpacked nvidia-pytriton; its server needs no GPU. RuntimeError if it does not start."""
    home = wheel / "pytriton" / "tritonserver"
    backends = home / "backends"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not (backends / "python" / stub.name).exists():
        shutil.copy(stub, backends / "python")
    for program in (home / "bin" / "tritonserver", backends / "python" / stub.name):
        program.chmod(0o755)
    environment = dict(os.environ)
    environment["LD_LIBRARY_PATH"] = f"{sys.base_prefix}/lib:{wheel / 'nvidia_pytriton.libs'}"
    environment["PYTHONHOME"] = sys.base_prefix
    command = [str(home / "bin" / "tritonserver"), f"--backend-directory={backends}"]
    with running(command, repository, log, flags, environment) as ports:
        yield ports


@contextlib.contextmanager
def clockwork(repository: Path, cache: Path, log: Path, *flags: str) -> Iterator[Ports]:
    command = [sys.executable, "-m", "clockwork_triton.cli", "serve", f"--artifact-cache={cache}"]
    command += ["--device-memory=64M", "--allow-client-shm=true"]
    with running(command, repository, log, flags, dict(os.environ)) as ports:
        yield ports


@contextlib.contextmanager
def running(
    command: list[str], repository: Path, log: Path, flags: tuple[str, ...], environment: dict[str, str]
) -> Iterator[Ports]:
    """A server that takes Triton's flags, for the length of a `with` block."""
    ports = Ports(*free_ports(3))
    command = [*command, f"--model-repository={repository}", *flags]
    for protocol in ("http", "grpc", "metrics"):
        command += [f"--{protocol}-address=127.0.0.1", f"--{protocol}-port={getattr(ports, protocol)}"]
    ready = partial(_ready, ports)
    with started(command, environment, log, ready, patience_s=PATIENCE_S, grace_s=30) as process:
        yield replace(ports, pid=process.pid)


def _ready(ports: Ports) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        urllib.request.urlopen(f"http://127.0.0.1:{ports.http}/v2/health/ready", timeout=5)
        return True
    return False
