"""Malformed bytes at every port of a real server, while good clients ask it over HTTP and gRPC.

    python -m benchmarks.malformed --seconds 600 --transport http2

Each attacker sends requests that are whole, cut off, damaged or bombs, on connections that it opens and
drops.
Prints what the good clients saw and how the memory of the server's processes went. A good request that fails,
a server that ends or memory that grows makes the exit status 1.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import multiprocessing
import os
import random
import shutil
import socket
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hpack
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.grpc import service_pb2

from benchmarks.compatibility.models import write_onnx
from benchmarks.compatibility.servers import Ports, clockwork
from clockwork_triton.frontend.http2 import frames

ATTACKERS = 2
"""Of each port, each a thread."""
PAUSE_S = 0.02
"""Between good requests."""
GROWTH_MB = 200
"""Between the beginning and the end; the bombs in flight unpack to 128 MB each."""

VALUES = np.arange(16, dtype=np.int32).reshape(1, 16)


def http_request(path: str, body: bytes, method: str = "POST", *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def http_seeds() -> list[bytes]:
    inputs = [
        {"name": name, "datatype": "INT32", "shape": [1, 16], "data": VALUES[0].tolist()}
        for name in ("INPUT0", "INPUT1")
    ]
    document = json.dumps({"id": "7", "inputs": inputs, "parameters": {"timeout": 5}}).encode()
    for tensor in inputs:
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": 64}
    head = json.dumps({"inputs": inputs}).encode()
    infer = "/v2/models/simple/infer"
    region = b'{"key":"/nothing","offset":0,"byte_size":64}'
    seeds = [
        http_request(infer, document),
        http_request(infer, zlib.compress(document), "POST", "content-encoding: deflate"),
        http_request(
            infer, head + VALUES.tobytes() * 2, "POST", f"inference-header-content-length: {len(head)}"
        ),
        http_request(infer, document).replace(b"content-length: ", b"content-length: 9"),
        http_request(infer, b"", "POST", "transfer-encoding: chunked") + b"fff\r\n" + document,
        http_request(infer, b"[" * 1_000_000),
        http_request(infer, b'{"inputs":[' + b'{"name":"X"},' * 50_000 + b"]}"),
        http_request(infer, gzip.compress(bytes(1 << 27), 9), "POST", "content-encoding: gzip"),
        http_request(infer, b"", "POST", *["a: b"] * 30_000),
        http_request("/v2/repository/models/simple/load", b'{"parameters":{"config":"{}"}}'),
        http_request("/v2/repository/index", b"{}"),
        http_request("/v2/systemsharedmemory/region/r/register", region),
        http_request("/v2/logging", b'{"log_verbose_level":"x"}'),
        http_request("/v2/trace/setting", b'{"trace_rate":"x"}'),
    ]
    seeds += model_seeds()
    return seeds + [http_request(path, b"", "GET") for path in ("/v2", "/v2/models/simple/config", "/%ff")]


def model_seeds() -> list[bytes]:
    """For models of texts, of sequences, and of other models."""

    def one(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [1, len(data)], "data": data}

    documents: list[tuple[str, dict[str, Any]]] = [
        ("texts/infer", {"inputs": [one("X", "BYTES", ["a", "b"])]}),
        ("texts/generate", {"X": ["a", "b"]}),
        ("chain/infer", {"inputs": [one(name, "INT32", VALUES[0].tolist()) for name in "AB"]}),
    ]
    for number in range(4):
        parameters = {"sequence_id": number, "sequence_start": number % 2 == 0}
        documents.append(("sequence/infer", {"inputs": [one("X", "INT32", [1])], "parameters": parameters}))
    return [http_request(f"/v2/models/{path}", json.dumps(document).encode()) for path, document in documents]


def call(method: str, message: bytes, flag: int = 0, *fields: tuple[str, str]) -> bytes:
    """A connection's beginning and one call."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    path = f"/inference.GRPCInferenceService/{method}"
    names = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
    block = encoder.encode([*names, ("te", "trailers"), ("content-type", "application/grpc"), *fields])
    data = bytes((flag,)) + len(message).to_bytes(4, "big") + message
    pieces = [data[start : start + 16_000] for start in range(0, len(data), 16_000)]
    return b"".join(
        [
            frames.PREFACE,
            frames.settings(()),
            frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block),
            *[frames.frame(frames.DATA, int(piece is pieces[-1]), 1, piece) for piece in pieces],
        ]
    )


def infer_message() -> bytes:
    request = service_pb2.ModelInferRequest(model_name="simple", id="7")
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        request.raw_input_contents.append(VALUES.tobytes())
    data: bytes = request.SerializeToString()
    return data


def grpc_seeds(random_: random.Random) -> list[bytes]:
    good = infer_message()
    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    compressed = ("grpc-encoding", "gzip")
    return [
        call("ModelInfer", good),
        *[call("ModelInfer", damaged(good, random_)) for _ in range(20)],
        *[call(method.name, b"\x0a\x06simple") for method in methods],
        *[call(method.name, random_.randbytes(30)) for method in methods],
        call("ModelInfer", b"\x2a\x00" * 200_000),
        call("ModelInfer", b"\x0b" * 100_000),
        call("ModelInfer", b"\x2a\xff\xff\xff\x7f"),
        call("ModelInfer", gzip.compress(bytes(1 << 27), 9), 1, compressed),
        call("ModelInfer", gzip.compress(good), 1, compressed),
        call("ModelStreamInfer", good),
        call("ModelInfer", good)[:-200] + b"\0\x7f\xff\xff\xff" * 40,
    ]


def metrics_seeds() -> list[bytes]:
    return [b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /" + b"x" * 100_000, b"\r\n\r\n"]


def damaged(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random_.randint(1, 4)):
        place = random_.randrange(len(changed) + 1)
        changed[place : place + random_.randrange(5)] = random_.randbytes(random_.randrange(5))
    return bytes(changed)


def part(seeds: Sequence[bytes], random_: random.Random) -> bytes:
    data = random_.choice(seeds)
    how = random_.randrange(6)
    if how == 0:
        return random_.randbytes(random_.randrange(1, 2000))
    if how == 1:
        return data[: random_.randrange(len(data))]
    return data if how == 2 else damaged(data, random_)


class Attacker(threading.Thread):
    def __init__(self, port: int, seeds: Sequence[bytes], seed: int, end: float) -> None:
        super().__init__()
        self._port, self._seeds, self._end = port, seeds, end
        self._random = random.Random(seed)
        self.connections = 0

    def run(self) -> None:
        while time.monotonic() < self._end:
            self.connections += 1
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as peer:
                peer.settimeout(0.05)
                for _ in range(self._random.randint(1, 5)):
                    peer.sendall(part(self._seeds, self._random))
                    if self._random.random() < 0.5:
                        peer.recv(1 << 16)
            # Opening connections is not what is measured here.
            time.sleep(0.01)


def attack(ports: Ports, seconds: float, seed: int, pipe: Any) -> None:
    """In a process of its own, so that the good clients are not kept waiting by it."""
    seeds = {
        "HTTP": (ports.http, http_seeds()),
        "gRPC": (ports.grpc, grpc_seeds(random.Random(seed))),
        "metrics": (ports.metrics, metrics_seeds()),
    }
    end = time.monotonic() + seconds
    attackers = {
        name: [Attacker(port, some, seed + place, end) for place in range(ATTACKERS)]
        for name, (port, some) in seeds.items()
    }
    for attacker in itertools.chain(*attackers.values()):
        attacker.start()
    for attacker in itertools.chain(*attackers.values()):
        attacker.join()
    pipe.send({name: sum(each.connections for each in some) for name, some in attackers.items()})


class Good(threading.Thread):
    """Asks for the same and checks the answer until it is told to stop."""

    def __init__(self, kind: Any, address: str) -> None:
        super().__init__()
        self._kind, self._client = kind, kind.InferenceServerClient(address)
        self.stopped = threading.Event()
        self.latencies: list[float] = []
        self.longest: tuple[float, float] = (0.0, 0.0)
        """When it began and ended."""
        self.failures: list[str] = []

    def run(self) -> None:
        inputs = [self._kind.InferInput(name, VALUES.shape, "INT32") for name in ("INPUT0", "INPUT1")]
        for tensor in inputs:
            tensor.set_data_from_numpy(VALUES)
        while not self.stopped.wait(PAUSE_S):
            begin = time.perf_counter()
            try:
                answer = self._client.infer("simple", inputs)
            except Exception as error:
                self.failures.append(f"{error!r} {error}")
                continue
            end = time.perf_counter()
            self.latencies.append(end - begin)
            self.longest = max(self.longest, (begin, end), key=lambda span: span[1] - span[0])
            if not np.array_equal(answer.as_numpy("OUTPUT0"), VALUES * 2):
                self.failures.append("a wrong answer")


def resident_mb() -> float:
    """Of this process's descendants but the attackers."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = (int(fields[1]), int(fields[21]))
    attackers = {process.pid for process in multiprocessing.active_children()}
    family, pages = {os.getpid()}, 0
    for process, (parent, resident) in sorted(parents.items()):
        if parent in family and process not in attackers:
            family.add(process)
            pages += resident
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def busy_s() -> tuple[float, float]:
    """CPU time that this process's children have taken, the attackers left out; and all that there was."""
    attackers = {process.pid for process in multiprocessing.active_children()}
    own = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and int(path.parent.name) not in attackers:
                own += int(fields[11]) + int(fields[12])
    everyone = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = everyone[3] + everyone[4]
    ticks = os.sysconf("SC_CLK_TCK")
    return own / ticks, (sum(everyone) - idle) / ticks


def torment(ports: Ports, seconds: float, seed: int, say: Callable[[str], None]) -> bool:
    """Whether all was well."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    attacker = context.Process(target=attack, args=(ports, seconds, seed, theirs))
    good = {
        "HTTP": Good(triton_http, f"127.0.0.1:{ports.http}"),
        "gRPC": Good(triton_grpc, f"127.0.0.1:{ports.grpc}"),
    }
    for client in good.values():
        client.start()
    attacker.start()
    memory = []
    busy: list[tuple[float, float, float]] = []
    while not pipe.poll(0.5):
        memory.append(resident_mb())
        busy.append((time.perf_counter(), *busy_s()))
    for client in good.values():
        client.stopped.set()
        client.join()
    for name, count in pipe.recv().items():
        say(f"{name:8} {count:7} connections of attackers")
    attacker.join()
    fine = True
    for name, client in good.items():
        latencies = sorted(client.latencies) or [float("nan")]
        say(
            f"{name:8} {len(client.latencies):7} good requests, {len(client.failures)} failed; "
            f"p50 {latencies[len(latencies) // 2] * 1e3:.2f} ms, "
            f"p99 {latencies[int(len(latencies) * 0.99)] * 1e3:.2f} ms, longest {latencies[-1] * 1e3:.0f} ms"
        )
        begin, end = client.longest
        inside = [sample for sample in busy if begin - 0.5 <= sample[0] <= end + 0.5]
        if len(inside) > 1:
            server, machine = (inside[-1][i] - inside[0][i] for i in (1, 2))
            say(f"         during the longest the server worked {server:.1f} s, the machine {machine:.1f} s")
        for failure in client.failures[:5]:
            say(f"         {failure}")
        fine = fine and not client.failures
    third = max(1, len(memory) // 3)
    first, last = sorted(memory[:third])[third // 2], sorted(memory[-third:])[third // 2]
    say(f"memory   {first:.0f} MB in the first third, {last:.0f} in the last, {max(memory):.0f} at most")
    return fine and last - first < GROWTH_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--transport", choices=("grpcio", "http2"), default="grpcio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="where to keep what the server writes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        repository, log = Path(scratch) / "models", Path(scratch) / "log"
        write_onnx(repository)
        flags = ("--device-memory=64M", f"--grpc-transport={options.transport}")
        with clockwork(repository, Path(scratch) / "cache", log, *flags) as ports:
            fine = torment(ports, options.seconds, options.seed, lambda line: print(line, flush=True))
        text = log.read_text(errors="replace")
        # grpcio has one of its own for each name that is not UTF-8.
        tracebacks = text.count("Traceback") - text.count('"Invalid encoding on')
        print(f"log      {len(text)} characters, {tracebacks} tracebacks")
        if options.log:
            shutil.copy(log, options.log)
    return 0 if fine and not tracebacks else 1


if __name__ == "__main__":
    raise SystemExit(main())
