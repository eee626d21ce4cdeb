"""The composed server as a process: started, asked, broken and stopped, as its users do it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from clockwork_triton.flags import parse_serve
from clockwork_triton.server import OPEN_FILES
from clockwork_triton.workers import worker_options


def write_model(repository: Path, name: str, factor: float) -> None:
    """y = x * factor over rows of four floats, without a config.pbtxt."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    version = repository / name / "1"
    version.mkdir(parents=True, exist_ok=True)
    onnx.save(model, version / "model.onnx")


class ServerProcess:
    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "clockwork_triton.cli", "serve", "--grpc-address=127.0.0.1"]
        command += ["--grpc-port=0", "--http-address=127.0.0.1", "--http-port=0", "--allow-metrics=false"]
        command += ["--device-memory=64M", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        self.lines: list[str] = []

    def read_until(self, pattern: str) -> re.Match[str]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if match := re.search(pattern, line):
                return match
        raise AssertionError("the server ended: " + "".join(self.lines))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> int:
        """Waits until it ends by itself."""
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)
        status = self.process.wait(60)
        self.process.stderr.close()
        return status


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    write_model(root, "triple", 3.0)
    broken = root / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "model.onnx").write_bytes(b"not a model")
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", params=["grpcio", "http2"])
def client(
    request: pytest.FixtureRequest, repository: Path, cache: Path
) -> Iterator[grpcclient.InferenceServerClient]:
    transport = f"--grpc-transport={request.param}"
    server = ServerProcess(f"--model-repository={repository}", f"--artifact-cache={cache}", transport)
    port = server.read_until(r"Started GRPCInferenceService at 127\.0\.0\.1:(\d+)")[1]
    server.read_until('"Ready"')
    with grpcclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.lines)


def test_both_protocols_give_the_same_answers(repository: Path, cache: Path) -> None:
    server = ServerProcess(f"--model-repository={repository}", f"--artifact-cache={cache}")
    port = server.read_until(r"Started HTTPService at 127\.0\.0\.1:(\d+)")[1]
    server.read_until('"Ready"')
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    files = re.search(r"Max open files +(\d+) +(\d+)", limits)
    assert files is not None
    assert int(files[1]) >= min(int(files[2]), OPEN_FILES)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensor = httpclient.InferInput("x", [3, 4], "FP32")
    with httpclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
        for binary in (True, False):
            tensor.set_data_from_numpy(x, binary_data=binary)
            output = httpclient.InferRequestedOutput("y", binary_data=binary)
            answer = client.infer("triple", [tensor], outputs=[output])
            np.testing.assert_allclose(answer.as_numpy("y"), 3 * x)
        with pytest.raises(InferenceServerException) as refused:
            client.infer("triple", [tensor], timeout=1)
        assert (refused.value.status(), refused.value.message()) == ("503", "Request timeout expired")
        stats = client.get_inference_statistics("triple")["model_stats"][0]
        assert (stats["inference_count"], stats["inference_stats"]["success"]["count"]) == (6, 2)
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.lines)


def ask(
    client: grpcclient.InferenceServerClient, rows: int, name: str = "triple", **options: int
) -> np.ndarray:
    x = np.arange(4 * rows, dtype=np.float32).reshape(rows, 4)
    tensor = grpcclient.InferInput("x", [rows, 4], "FP32")
    tensor.set_data_from_numpy(x)
    return client.infer(name, [tensor], **options).as_numpy("y") / np.maximum(x, 1e-9)


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_dropped_model_serves_at_every_batch_size(
    client: grpcclient.InferenceServerClient, rows: int
) -> None:
    ratios = ask(client, rows)
    np.testing.assert_allclose(ratios.ravel()[1:], 3.0)


def test_a_broken_model_is_named_with_a_reason_and_the_rest_serves(
    client: grpcclient.InferenceServerClient,
) -> None:
    index = {model.name: model for model in client.get_model_repository_index().models}
    assert index["triple"].state == "READY"
    assert index["broken"].state == "UNAVAILABLE"
    assert "model.onnx" in index["broken"].reason
    assert not client.is_server_ready()
    assert client.is_server_live()


def test_a_deadline_of_a_microsecond_is_refused(client: grpcclient.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as refused:
        ask(client, 1, timeout=1)
    assert refused.value.status() == "StatusCode.UNAVAILABLE"
    assert refused.value.message() == "Request timeout expired"


def test_statistics_add_up(client: grpcclient.InferenceServerClient) -> None:
    before = client.get_inference_statistics("triple").model_stats[0]
    ask(client, 2)
    after = client.get_inference_statistics("triple").model_stats[0]
    assert after.inference_count - before.inference_count == 2
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns


def test_exit_on_error_ends_the_server(repository: Path, cache: Path) -> None:
    server = ServerProcess(
        f"--model-repository={repository}", f"--artifact-cache={cache}", "--exit-on-error=true"
    )
    server.read_until("models failed to load")
    assert server.process.wait(60) == 1
    assert server.process.stderr is not None
    server.process.stderr.close()


def test_a_taken_port_is_said_and_nothing_is_left_running(repository: Path, cache: Path) -> None:
    first = ServerProcess(f"--model-repository={repository}", f"--artifact-cache={cache}")
    port = first.read_until(r"Started GRPCInferenceService at 127\.0\.0\.1:(\d+)")[1]
    second = ServerProcess(
        f"--model-repository={repository}", f"--artifact-cache={cache}", f"--grpc-port={port}"
    )
    second.read_until(f"cannot listen for gRPC on 127.0.0.1:{port}")
    assert second.process.wait(60) == 1
    assert second.process.stderr is not None
    second.process.stderr.close()
    assert first.stop() == 0


def test_a_repository_that_is_not_there_is_said(tmp_path: Path, cache: Path) -> None:
    server = ServerProcess(f"--model-repository={tmp_path / 'nowhere'}", f"--artifact-cache={cache}")
    server.read_until("cannot start: failed to read model repository .*nowhere': No such file or directory")
    assert server.process.wait(60) == 1
    assert server.process.stderr is not None
    server.process.stderr.close()


def test_polling_picks_up_replaces_and_retires_without_dropping_a_request(
    tmp_path: Path, cache: Path
) -> None:
    server = ServerProcess(
        f"--model-repository={tmp_path}",
        f"--artifact-cache={cache}",
        "--model-control-mode=poll",
        "--repository-poll-secs=0.1",
    )
    port = server.read_until(r"Started GRPCInferenceService at 127\.0\.0\.1:(\d+)")[1]
    server.read_until('"Ready"')
    write_model(tmp_path, "late", 3.0)
    server.read_until("'late' version 1 is READY")
    answers: list[float] = []
    stop = threading.Event()

    def keep_asking() -> None:
        with grpcclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
            while not stop.wait(0.005):
                answers.append(float(ask(client, 1, "late")[0, 1]))

    with ThreadPoolExecutor(1) as pool, grpcclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
        asking = pool.submit(keep_asking)
        try:
            write_model(tmp_path, "late", 5.0)
            server.read_until("'late' version 1 is READY")
            assert ask(client, 1, "late")[0, 1] == pytest.approx(5.0)
        finally:
            stop.set()
        asking.result()
        shutil.rmtree(tmp_path / "late")
        server.read_until(r"'late' version 1 is UNAVAILABLE \(unloaded\)")
        with pytest.raises(InferenceServerException, match="'late' has no available versions"):
            ask(client, 1, "late")
    assert set(np.round(answers, 3)) <= {3.0, 5.0}
    assert answers == sorted(answers)
    assert server.stop() == 0


def test_a_gpu_that_is_not_there_ends_the_server_with_the_reason(repository: Path, cache: Path) -> None:
    devices = "--device=cpu:0,cuda:9999,cpu:1"
    server = ServerProcess(f"--model-repository={repository}", f"--artifact-cache={cache}", devices)
    assert server.end() == 1
    (line,) = server.lines
    assert "cannot start: cuda:9999 cannot be used: there is no" in line


@pytest.mark.parametrize(("cores", "given"), [(4, (1, 2)), (3, (1, 2)), (2, ())])
def test_threads_have_cores_of_their_own_or_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, given: tuple[int, ...]
) -> None:
    options, _ = parse_serve(
        [f"--model-repository={tmp_path}", "--device=cpu:0", "--threads=2"], ["adaptive"]
    )
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    (worker,) = worker_options(options)
    assert (worker.cores, worker.threads) == (given, 2)
