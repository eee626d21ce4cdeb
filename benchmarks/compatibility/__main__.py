"""Asks both servers the same and writes docs/results/compatibility.md: what differs, and why."""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from tritonclient.grpc import service_pb2_grpc

from benchmarks.compatibility import models, servers
from benchmarks.compatibility.exchanges import GrpcExchange, HttpExchange, grpc_exchanges, http_exchanges
from benchmarks.compatibility.known import reason_for


class Difference(NamedTuple):
    exchange: str
    triton: str
    ours: str

    @property
    def reason(self) -> str:
        return reason_for(self.exchange, f"{self.triton} {self.ours}")


def ask_http(port: int, exchange: HttpExchange) -> str:
    """Status and body; JSON in one form, so that spaces and the order of members do not count."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(exchange.method, exchange.path, exchange.body, dict(exchange.headers))
        response = connection.getresponse()
        body = response.read()
        length = int(response.headers.get("Inference-Header-Content-Length", len(body)))
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {type(error).__name__}"
    finally:
        connection.close()
    try:
        head = json.dumps(json.loads(body[:length]), sort_keys=True)
    except ValueError:
        head = body[:length].decode(errors="replace")
    return f"{response.status} {head} {body[length:].hex()}".strip()


def ask_grpc(stub: Any, exchange: GrpcExchange) -> str:
    try:
        response = getattr(stub, exchange.rpc)(exchange.request, timeout=30)
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"  # type: ignore[attr-defined]
    return f"OK {' '.join(str(response).split())}"


def compare(triton: servers.Ports, ours: servers.Ports) -> tuple[int, list[Difference]]:
    """How many exchanges there were, and those whose answers differ."""
    asked, differences = 0, []
    for exchange, answers in (*_over_http(triton, ours), *_over_grpc(triton, ours)):
        asked += 1
        if answers[0] != answers[1]:
            differences.append(Difference(str(exchange), *answers))
    return asked, differences


def _over_http(*ports: servers.Ports) -> Iterator[tuple[HttpExchange, list[str]]]:
    for exchange in http_exchanges():
        yield exchange, [ask_http(each.http, exchange) for each in ports]


def _over_grpc(*ports: servers.Ports) -> Iterator[tuple[GrpcExchange, list[str]]]:
    channels = [grpc.insecure_channel(f"127.0.0.1:{each.grpc}") for each in ports]
    try:
        stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in channels]
        for exchange in grpc_exchanges():
            yield exchange, [ask_grpc(stub, exchange) for stub in stubs]
    finally:
        for channel in channels:
            channel.close()


def page(asked: int, differences: Sequence[Difference]) -> str:
    known = [difference for difference in differences if difference.reason]
    unknown = [difference for difference in differences if not difference.reason]
    lines = ["# Compared with Triton 2.51", ""]
    same = asked - len(differences)
    lines.append(
        f"{asked} requests, good and bad, went to both servers over HTTP and gRPC. {same} answers are the "
        f"same in status and body, {len(known)} differ for a reason that is known and {len(unknown)} for "
        "none. Written by `scripts/compatibility`."
    )
    for title, some in (("Without a known reason", unknown), ("With a reason", known)):
        if some:
            lines += ["", f"## {title}", "", "| request | Triton | here | |", "|---|---|---|---|"]
            for each in some:
                cells = (each.exchange, each.triton, each.ours, each.reason)
                lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    short = text if len(text) <= 220 else text[:217] + "..."
    return short.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triton", type=Path, required=True, help="an unpacked nvidia-pytriton wheel")
    parser.add_argument("--numpy", type=Path, required=True, help="a directory with numpy below 2")
    parser.add_argument("--page", type=Path, help="write the comparison to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        models.write_onnx(scratch / "onnx")
        models.write_python(scratch / "python", arguments.numpy.resolve())
        trace = f"--trace-config=triton,file={scratch / 'trace.json'}"
        with (
            servers.triton(
                arguments.triton.resolve(), scratch / "python", scratch / "triton.log", trace
            ) as triton,
            servers.clockwork(scratch / "onnx", scratch / "cache", scratch / "ours.log", trace) as ours,
        ):
            asked, differences = compare(triton, ours)
    text = page(asked, differences)
    if arguments.page:
        arguments.page.parent.mkdir(parents=True, exist_ok=True)
        arguments.page.write_text(text)
    print(text)
    return 1 if any(not difference.reason for difference in differences) else 0


if __name__ == "__main__":
    sys.exit(main())
