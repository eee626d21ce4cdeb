"""A server of one's own for a check: free loopback ports, logs, and no process left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.serving import actions, processes

MESSAGE_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Or the channels of one process share a connection, and a check its fate.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass
class Server:
    """A server process that was started here."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    http_port: int
    metrics_port: int
    log: Path
    action_log: Path
    ready_s: float = 0.0
    """From the start of the command to ServerReady."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def actions(self) -> list[actions.Record]:
        """What it did, once it has been stopped."""
        assert self.process.poll() is not None
        return actions.read(self.action_log)

    def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as reply:
            return str(reply.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with these labels among theirs; 0 if there is none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        samples = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)", self.metrics(), re.MULTILINE)
        return sum(float(value) for found, value in samples if wanted <= set(found.split(",")))

    def descendants(self) -> list[processes.Process]:
        return processes.descendants(self.process.pid)

    def wait_ready(self, patience_s: float) -> None:
        """RuntimeError with the end of the log if the server ends or cannot become ready in time."""
        begin = time.monotonic()
        with grpc.insecure_channel(self.address, MESSAGE_OPTIONS) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while time.monotonic() - begin < patience_s:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.tail()}")
                with contextlib.suppress(grpc.RpcError):
                    if stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready:
                        self.ready_s = time.monotonic() - begin
                        return
                    if lost := _lost_models(stub):
                        raise RuntimeError(f"models are UNAVAILABLE: {lost}")
                time.sleep(0.05)
        raise RuntimeError(f"the server was not ready within {patience_s} s:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def stop(self, patience_s: float = 20) -> list[processes.Process]:
        """Ends the server as an operator would. Returns those of its processes that had to be killed."""
        family = self.descendants()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return processes.end(family, 2)

    def kill(self) -> None:
        """SIGKILL to the server process alone."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Setup:
    """How checks start servers: the command, and the folders for what is written on the way."""

    command: Sequence[str]
    scratch: Path
    artifact_cache: Path
    pictures: Path
    patience_s: float = 1200

    @contextlib.contextmanager
    def serve(
        self,
        repository: Path,
        *flags: str,
        artifact_cache: Path | None = None,
        wait: bool = True,
        name: str = "server",
        log_actions: bool = True,
    ) -> Iterator[Server]:
        """A server for the length of a `with` block, ready when it begins unless `wait` is False."""
        grpc_port, http_port, metrics_port = free_ports(3)
        log, action_log = self.scratch / f"{name}.log", self.scratch / f"{name}.actions.tsv"
        action_log.unlink(missing_ok=True)
        command = [
            *self.command,
            *("--model-repository", str(repository)),
            *("--artifact-cache", str(artifact_cache or self.artifact_cache)),
            *("--grpc-port", str(grpc_port), "--http-port", str(http_port)),
            *("--metrics-port", str(metrics_port)),
            *(("--action-log", str(action_log)) if log_actions else ()),
            *(f"--{protocol}-address=127.0.0.1" for protocol in ("grpc", "http", "metrics")),
            *flags,
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment()
            )
        server = Server(process, grpc_port, http_port, metrics_port, log, action_log)
        try:
            if wait:
                server.wait_ready(self.patience_s)
            yield server
        finally:
            server.stop()


def _lost_models(stub: service_pb2_grpc.GRPCInferenceServiceStub) -> str:
    """The models that failed, with their reasons, once no model is still on its way."""
    index = stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=5).models
    if any(entry.state not in ("READY", "UNAVAILABLE") for entry in index):
        return ""
    return "; ".join(f"{entry.name}: {entry.reason}" for entry in index if entry.state == "UNAVAILABLE")


def environment() -> dict[str, str]:
    """Client libraries of checks must not decide how the server logs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}


def free_ports(count: int) -> list[int]:
    """Distinct ports of the loopback interface that nobody listened on a moment ago."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports
