"""A server with front ends of their own processes, as its users have it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from tritonclient.utils import InferenceServerException, shared_memory

from tests.test_server import ServerProcess, write_model

CHILDREN = "/proc/{0}/task/{0}/children"


def free_ports(count: int) -> list[int]:
    """Distinct ports that nobody listened on a moment ago: the front ends have to share them."""
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class Served:
    def __init__(self, repository: Path, cache: Path, *flags: str) -> None:
        self.grpc_port, self.http_port = free_ports(2)
        self.server = ServerProcess(
            f"--model-repository={repository}",
            f"--artifact-cache={cache}",
            f"--grpc-port={self.grpc_port}",
            f"--http-port={self.http_port}",
            "--frontends=2",
            *flags,
        )
        self.server.read_until('"Ready"')

    def grpc(self) -> grpcclient.InferenceServerClient:
        """Each on a connection of its own, so that both front ends get some."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpcclient.InferenceServerClient(f"127.0.0.1:{self.grpc_port}", channel_args=options)

    def http(self) -> httpclient.InferenceServerClient:
        return httpclient.InferenceServerClient(f"127.0.0.1:{self.http_port}")

    def front_ends(self) -> list[int]:
        found = []
        for pid in Path(CHILDREN.format(self.server.process.pid)).read_text().split():
            if b"front_end" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
        return found


def tensor(rows: int, value: float) -> grpcclient.InferInput:
    made = grpcclient.InferInput("x", [rows, 4], "FP32")
    made.set_data_from_numpy(np.full((rows, 4), value, np.float32))
    return made


def eventually(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    repository = tmp_path_factory.mktemp("repository")
    for name, factor in (("triple", 3.0), ("double", 2.0)):
        write_model(repository, name, factor)
    served = Served(
        repository,
        tmp_path_factory.mktemp("cache"),
        "--model-control-mode=explicit",
        "--load-model=triple",
        "--allow-client-shm=true",
    )
    yield served
    assert served.server.stop() == 0
    assert "Traceback" not in "".join(served.server.lines)


def test_every_client_gets_the_answer_to_its_own_question(served: Served) -> None:
    def ask(value: int) -> None:
        with served.grpc() as client:
            for rows in (1, 2, 4):
                answer = client.infer("triple", [tensor(rows, value)]).as_numpy("y")
                np.testing.assert_array_equal(answer, np.full((rows, 4), 3.0 * value))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(16)))
    assert len(served.front_ends()) == 2


def test_counts_are_those_of_all_front_ends(served: Served) -> None:
    def count() -> tuple[int, int]:
        with served.grpc() as client:
            stats = client.get_inference_statistics("triple").model_stats[0]
            return stats.inference_count, stats.inference_stats.success.count

    rows, requests = count()
    for _ in range(6):
        with served.grpc() as client:
            client.infer("triple", [tensor(2, 1)])
    assert count() == (rows + 12, requests + 6)
    with served.http() as client:
        assert client.get_inference_statistics("triple")["model_stats"][0]["inference_count"] == rows + 12


def test_http_has_the_same_behind_it(served: Served) -> None:
    with served.http() as client:
        assert client.is_server_ready()
        assert client.get_model_metadata("triple")["name"] == "triple"
        made = httpclient.InferInput("x", [1, 4], "FP32")
        made.set_data_from_numpy(np.ones((1, 4), np.float32))
        np.testing.assert_array_equal(client.infer("triple", [made]).as_numpy("y"), [[3.0] * 4])
        with pytest.raises(InferenceServerException, match=r"unknown model: 'nobody' is not found"):
            client.infer("nobody", [made])


def test_every_front_end_knows_a_model_once_its_load_has_returned(served: Served) -> None:
    with served.grpc() as client:
        client.load_model("double")
    for _ in range(6):
        with served.grpc() as client:
            assert client.infer("double", [tensor(1, 4)]).as_numpy("y")[0, 0] == 8
    with served.grpc() as client:
        client.unload_model("double")
    for _ in range(6):
        with (
            served.grpc() as client,
            pytest.raises(InferenceServerException, match=r"'double'.* is not at ready state|no available"),
        ):
            client.infer("double", [tensor(1, 4)])


def test_a_region_is_shared_by_all_front_ends(served: Served) -> None:
    name = f"region-{os.getpid()}"
    region = shared_memory.create_shared_memory_region(name, f"/{name}", 64)
    try:
        shared_memory.set_shared_memory_region(region, [np.arange(4, dtype=np.float32)])
        with served.grpc() as client:
            client.register_system_shared_memory(name, f"/{name}", 64)
        for _ in range(6):
            made = grpcclient.InferInput("x", [1, 4], "FP32")
            made.set_shared_memory(name, 16)
            wanted = grpcclient.InferRequestedOutput("y")
            wanted.set_shared_memory(name, 16, offset=32)
            with served.grpc() as client:
                client.infer("triple", [made], outputs=[wanted])
            answer = shared_memory.get_contents_as_numpy(region, np.float32, [1, 4], 32)
            np.testing.assert_array_equal(answer, [[0, 3, 6, 9]])
        with served.grpc() as client:
            client.unregister_system_shared_memory(name)
    finally:
        shared_memory.destroy_shared_memory_region(region)


def test_a_front_end_that_dies_comes_back(served: Served) -> None:
    victim, other = served.front_ends()
    with served.grpc() as client:
        before = client.get_inference_statistics("triple").model_stats[0].inference_count
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: len(served.front_ends()) == 2 and victim not in served.front_ends())
    assert other in served.front_ends()

    def answers() -> bool:
        try:
            with served.grpc() as client:
                return bool(client.infer("triple", [tensor(1, 1)]).as_numpy("y")[0, 0] == 3)
        except InferenceServerException:
            return False  # of a connection that the dead one had still accepted

    eventually(answers)
    for _ in range(8):
        assert answers()
    with served.grpc() as client:
        assert client.get_inference_statistics("triple").model_stats[0].inference_count >= before + 9


def test_a_port_that_cannot_be_had_ends_the_server(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = ServerProcess(
            f"--model-repository={tmp_path}",
            f"--grpc-port={taken.getsockname()[1]}",
            "--allow-http=false",
            "--frontends=1",
        )
        server.read_until("cannot start: cannot listen for gRPC on 127.0.0.1")
        assert server.process.wait(60) == 1
        assert server.process.stderr is not None
        server.process.stderr.close()


def test_front_ends_need_ports_to_share(tmp_path: Path) -> None:
    server = ServerProcess(f"--model-repository={tmp_path}", "--frontends=2")
    server.read_until("cannot start: --frontends needs ports that are named, not 0")
    assert server.process.wait(60) == 1
    assert server.process.stderr is not None
    server.process.stderr.close()
