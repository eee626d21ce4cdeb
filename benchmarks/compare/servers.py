"""Starts this server and its peers on loopback, and meters what they use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.compare import models
from benchmarks.compatibility import servers as tritons
from benchmarks.serving import processes
from benchmarks.serving.server import environment, free_ports

PATIENCE_S = 300.0


@dataclass(frozen=True)
class Homes:
    """Where the peers are installed: a wheel of Triton with packages for its Python backend, and two
    environments."""

    triton: Path
    packages: Path
    kserve: Path
    mlserver: Path


@dataclass(frozen=True)
class Contender:
    """`kind`: ours, triton, kserve or mlserver. `flags`: of this server; `instances`: of each of Triton's
    models. `timeout_ms`: of Triton's queues, 0 for none."""

    name: str
    kind: str
    flags: Sequence[str] = ()
    instances: int = 1
    timeout_ms: int = 0


@dataclass(frozen=True)
class Running:
    name: str
    address: str
    pid: int

    def cpu_s(self) -> float:
        """Of all its processes, since they began."""
        ticks = 0
        for pid in (self.pid, *(process.pid for process in processes.descendants(self.pid))):
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Proportional: what processes share counts once."""
        total = 0
        for pid in (self.pid, *(process.pid for process in processes.descendants(self.pid))):
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024


@contextlib.contextmanager
def serve(contender: Contender, repository: Path, homes: Homes, scratch: Path) -> Iterator[Running]:
    """`repository`: as `models` writes it. RuntimeError with the end of the log if the server does not become
    ready."""
    log = scratch / f"{contender.name.replace(' ', '-').replace(',', '')}.log"
    if contender.kind == "ours":
        with tritons.clockwork(repository, scratch / "artifacts", log, *contender.flags) as ports:
            yield Running(contender.name, f"127.0.0.1:{ports.grpc}", ports.pid)
    elif contender.kind == "triton":
        mine = scratch / f"triton-{repository.name}-{contender.instances}-{contender.timeout_ms}"
        models.write_triton(repository, mine, homes.packages, contender.instances, contender.timeout_ms)
        with tritons.triton(homes.triton, mine, log) as ports:
            yield Running(contender.name, f"127.0.0.1:{ports.grpc}", ports.pid)
    else:
        home = homes.kserve if contender.kind == "kserve" else homes.mlserver
        with _python_server(home, contender, repository, log) as running:
            yield running


@contextlib.contextmanager
def _python_server(home: Path, contender: Contender, repository: Path, log: Path) -> Iterator[Running]:
    (port,) = free_ports(1)
    script = models.PEERS / f"{contender.kind}_server.py"
    variables = environment() | {
        "INFERENCE_THREADS": str(models.THREADS),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(models.PEERS),
    }
    command = [str(home / "bin" / "python"), str(script), str(repository), str(port)]
    address = f"127.0.0.1:{port}"
    ready = partial(_ready, address)
    with processes.started(command, variables, log, ready, patience_s=PATIENCE_S, grace_s=10) as process:
        yield Running(contender.name, address, process.pid)


def _ready(address: str) -> bool:
    with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return bool(stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready)
    return False
