"""Every other route: what it answers, to whom, and what it refuses."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.restriction import CATEGORIES, Restriction
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.repository.model import IndexEntry, State
from clockwork_triton.telemetry.trace_settings import TraceSettings
from clockwork_triton.telemetry.tracer import Tracer
from tests.compatibility import covers
from tests.frontend.fakes import run, simple
from tests.frontend.http.asgi import Answer, Bench
from tests.frontend.test_grpc_operations import FakeControl

GET = ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/simple", "/v2/models/simple/versions/1"]
GET += ["/v2/models/simple/ready", "/v2/models/simple/config", "/v2/models/simple/stats", "/v2/models/stats"]
GET += ["/v2/trace/setting", "/v2/models/simple/trace/setting", "/v2/logging"]
GET += ["/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status"]
POST = ["/v2/repository/index", "/v2/repository/models/m/load", "/v2/repository/models/m/unload"]
POST += ["/v2/systemsharedmemory/unregister", "/v2/cudasharedmemory/unregister"]
POST += ["/v2/cudasharedmemory/region/r/unregister", "/v2/systemsharedmemory/region/r/unregister"]


def ask(method: str, path: str, body: Any = b"", bench: Bench | None = None, **headers: str) -> Answer:
    answers = []

    async def test() -> None:
        answers.append(await (bench or all_allowed()).ask(method, path, body, **headers))

    run(test())
    return answers[0]


def all_allowed() -> Bench:
    return Bench(facilities=Facilities(SharedMemory(True), control=FakeControl()))


@covers("route GET /v2/models/stats")
@covers("route GET, POST /v2/trace/setting")
@pytest.mark.parametrize("path", GET)
def test_routes_that_are_got(path: str) -> None:
    assert ask("GET", path).status == 200
    if "trace" not in path and "logging" not in path:
        assert ask("POST", path, b"{}").error == (405, "Method Not Allowed")


@pytest.mark.parametrize("path", POST)
def test_routes_that_are_posted_to(path: str) -> None:
    answer = ask("POST", path)
    assert answer.status == 200, answer.body
    assert ask("GET", path).error == (405, "Method Not Allowed")


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v2/", "/v2/health", "/v2/models", "/v2/models/", "/v2/models/simple/", "/metrics"),
        *("/v2/models/simple/versions/x", "/v2/models/simple/versions/1/trace/setting", "/v2/models/a/b"),
        *("/v2/repository", "/v2/repository/models/m", "/v2/systemsharedmemory/region//status"),
    ],
)
def test_everything_else_is_not_found(path: str) -> None:
    assert ask("GET", path).error == (404, "Not Found")


def test_server_metadata() -> None:
    answer = ask("GET", "/v2").json
    assert (answer["name"], answer["version"]) == ("triton", "1.2.3")
    assert "binary_tensor_data" in answer["extensions"]


@covers("health over HTTP has no body")
@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/simple/ready"])
def test_health_has_no_body(path: str) -> None:
    assert ask("GET", path).body == b""


def test_what_is_not_ready() -> None:
    bench = Bench()
    bench.index.ready = False
    answer = ask("GET", "/v2/health/ready", bench=bench)
    assert (answer.status, answer.body) == (400, b"")
    for path in ("/v2/models/no/ready", "/v2/models/simple/versions/9/ready"):
        assert ask("GET", path).error == (400, "Model version not ready")


def test_model_metadata() -> None:
    assert ask("GET", "/v2/models/simple").json == {
        "name": "simple",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("INPUT0", "INPUT1")],
        "outputs": [
            {"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("OUTPUT0", "OUTPUT1")
        ],
    }
    error = (404, "Request for unknown model: 'no' is not found")
    assert ask("GET", "/v2/models/no").error == error
    assert ask("GET", "/v2/models/no/config").error == error


def test_model_config() -> None:
    config = ask("GET", "/v2/models/simple/config").json
    assert (config["name"], config["max_batch_size"]) == ("simple", 8)
    assert config["input"][0]["dims"] == [16]


def test_statistics() -> None:
    (model,) = ask("GET", "/v2/models/simple/versions/1/stats").json["model_stats"]
    assert (model["name"], model["version"], model["inference_count"]) == ("simple", "1", 0)
    assert model["inference_stats"]["queue"] == {"count": 0, "ns": 0}
    assert model["batch_stats"] == []
    unknown = (400, "requested model 'no' is not available")
    assert ask("GET", "/v2/models/no/stats").error == unknown


def test_the_index_is_an_array_without_what_is_not_known() -> None:
    bench = Bench()
    bench.index.others = [
        IndexEntry("new", "", State.UNKNOWN),
        IndexEntry("bad", "1", State.UNAVAILABLE, "no"),
    ]
    ready = {"name": "simple", "version": "1", "state": "READY"}
    assert ask("POST", "/v2/repository/index", bench=bench).json == [
        ready,
        {"name": "new"},
        {"name": "bad", "version": "1", "state": "UNAVAILABLE", "reason": "no"},
    ]
    assert ask("POST", "/v2/repository/index", {"ready": True}, bench).json == [ready]
    assert ask("POST", "/v2/repository/index", {"ready": 1}, bench).error == (
        500,
        "attempt to access JSON non-boolean as boolean",
    )


def test_loading_and_unloading() -> None:
    bench = all_allowed()
    control = bench.plane.facilities.control
    assert isinstance(control, FakeControl)
    content = base64.b64encode(b"\x00onnx").decode()
    ask("POST", "/v2/repository/models/a/load", bench=bench)
    parameters = {"config": "{}", "file:1/model.onnx": content}
    ask("POST", "/v2/repository/models/b/load", {"parameters": parameters}, bench)
    assert control.loads == [("a", None, {}), ("b", "{}", {"1/model.onnx": b"\x00onnx"})]
    ask("POST", "/v2/repository/models/a/unload", {"parameters": {"unload_dependents": True}}, bench)
    assert control.unloads == ["a with what it is made of"]
    assert ask("POST", "/v2/repository/models/broken/load", bench=bench).error == (
        500,
        "failed to load 'broken', failed to poll from model repository",
    )


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("models/m/load", {"parameters": {"x": "y"}}, (400, "unrecognized load parameter 'x'.")),
        (
            "models/m/load",
            {"parameters": {"config": 1}},
            (500, "attempt to access JSON non-string as string"),
        ),
        ("models/m/load", {"parameters": 1}, (500, "attempt to access JSON non-object as object")),
        (
            "models/m/load",
            {"parameters": {"file:1/m": "!"}},
            (400, "unable to decode base64 of load parameter 'file:1/m'"),
        ),
        ("r/models/m/load", b"", (501, "'repository_name' specification is not supported")),
        ("r/models/m/unload", b"", (501, "'repository_name' specification is not supported")),
        (
            "models/m/unload",
            {"parameters": {"unload_dependents": 1}},
            (
                500,
                "Unable to parse 'unload_dependents': attempt to access JSON non-boolean as boolean",
            ),
        ),
    ],
)
def test_wrong_control_requests(path: str, body: Any, error: tuple[int, str]) -> None:
    assert ask("POST", f"/v2/repository/{path}", body).error == error


def test_control_that_nobody_allows() -> None:
    error = (503, "explicit model load / unload is not allowed if polling is enabled")
    assert ask("POST", "/v2/repository/models/m/load", bench=Bench()).error == error


def test_system_shared_memory(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(bytes(100))
    bench = Bench(facilities=Facilities(SharedMemory(True, tmp_path)))
    path = "/v2/systemsharedmemory"
    body = {"key": "/object", "offset": 10, "byte_size": 50}
    assert ask("POST", f"{path}/region/r/register", body, bench).status == 200
    status = [{"name": "r", "key": "/object", "offset": 10, "byte_size": 50}]
    assert ask("GET", f"{path}/status", bench=bench).json == status
    assert ask("GET", f"{path}/region/r/status", bench=bench).json == status
    assert ask("POST", f"{path}/region/r/register", body, bench).error == (
        400,
        "shared memory region 'r' already in manager",
    )
    assert ask("POST", f"{path}/region/r/unregister", bench=bench).status == 200
    assert ask("GET", f"{path}/region/r/status", bench=bench).error == (
        404,
        "Unable to find system shared memory region: 'r'",
    )
    for wrong, error in (
        ({}, (400, "Shared memory register request has no 'key' field")),
        ({"key": 5}, (500, "attempt to access JSON non-string as string")),
        ({"key": "k"}, (400, "Shared memory register request has no 'byte_size' field")),
        (
            {"key": "k", "byte_size": -1},
            (500, "attempt to access JSON non-unsigned-integer as unsigned-integer"),
        ),
    ):
        assert ask("POST", f"{path}/region/r/register", wrong, bench).error == error
    assert ask("POST", f"{path}/register", body, bench).error == (
        400,
        "'region name' is necessary to register system shared memory region",
    )


@covers("route POST /v2/cudasharedmemory/region/R/register", "refused", "as Triton without a GPU")
@covers("route GET /v2/cudasharedmemory/status")
def test_cuda_shared_memory() -> None:
    path = "/v2/cudasharedmemory"
    body = {"raw_handle": {"b64": "aGFuZGxl"}, "device_id": 0, "byte_size": 8}
    assert ask("POST", f"{path}/region/r/register", body).error == (
        400,
        "failed to register CUDA shared memory region: 'r', GPUs not supported",
    )
    assert ask("POST", f"{path}/register", body).status == 400
    assert ask("GET", f"{path}/region/r/status").error == (
        404,
        "Unable to find cuda shared memory region: 'r'",
    )
    assert ask("GET", f"{path}/status").json == []


def test_traces(tmp_path: Path) -> None:
    tracer = Tracer(TraceSettings(file=str(tmp_path / "trace")))
    bench = Bench(facilities=Facilities(tracer=tracer))
    path = "/v2/models/simple/trace/setting"
    shown = ask("POST", path, {"trace_level": ["TIMESTAMPS"], "trace_rate": "5", "x": 1}, bench).json
    assert shown == {
        "trace_level": ["TIMESTAMPS"],
        "trace_rate": "5",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": str(tmp_path / "trace"),
        "trace_mode": "triton",
    }
    assert ask("POST", path, {"trace_rate": None}, bench).json["trace_rate"] == "1000"
    assert ask("GET", "/v2/trace/setting", bench=bench).json["trace_level"] == ["OFF"]
    for body, error in (
        ({"trace_rate": 5}, (500, "attempt to access JSON non-string as string")),
        ({"trace_level": "OFF"}, (500, "attempt to access JSON non-array as array")),
        ({"trace_rate": "x"}, (400, "Unable to parse 'trace_rate', got: x")),
        (
            {"trace_file": "f"},
            (501, "trace file location can not be updated through network protocol"),
        ),
    ):
        assert ask("POST", path, body, bench).error == error
    assert ask("GET", "/v2/models/no/trace/setting").error == (400, "Request for unknown model : no")


def test_logs() -> None:
    bench = Bench()
    asked = {"log_info": False, "log_verbose_level": 1, "log_format": "ISO8601", "log_file": None}
    assert ask("POST", "/v2/logging", asked, bench).json == {
        "log_file": "",
        "log_info": False,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 1,
        "log_format": "ISO8601",
    }
    for body, error in (
        ({"log_info": 3}, (500, "attempt to access JSON non-boolean as boolean")),
        ({"log_format": "x"}, (503, "invalid argument for --log_format, got: x")),
        (
            {"log_file": "x"},
            (501, "log file location can not be updated through network protocol"),
        ),
        (b"", (500, "failed to parse the request JSON buffer: The document is empty. at 0")),
    ):
        assert ask("POST", "/v2/logging", body, bench).error == error


@covers("--http-restricted-api")
@pytest.mark.parametrize("category", CATEGORIES)
def test_restricted_parts_need_their_header(category: str) -> None:
    path = {
        "health": "/v2/health/live",
        "metadata": "/v2",
        "inference": "/v2/models/simple/infer",
        "shared-memory": "/v2/systemsharedmemory/status",
        "model-config": "/v2/models/simple/config",
        "model-repository": "/v2/repository/index",
        "statistics": "/v2/models/stats",
        "trace": "/v2/trace/setting",
        "logging": "/v2/logging",
    }[category]
    method = "POST" if category in ("inference", "model-repository") else "GET"
    bench = Bench(app={"restrictions": {category: Restriction("Admin-Key", "secret")}})
    refused = (403, "This API is restricted, expecting header 'Admin-Key'")
    assert ask(method, path, b"{}", bench).error == refused
    assert ask(method, path, b"{}", bench, admin_key="wrong").error == refused
    assert ask(method, path, b"{}", bench, admin_key="secret").status in (200, 500)
    assert ask("GET", "/v2/models/simple", bench=bench).status == (403 if category == "metadata" else 200)


def test_a_bug_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.index.models = None  # type: ignore[assignment]
    assert ask("GET", "/v2/models/stats", bench=bench).error == (500, "internal error")
    assert "GET /v2/models/stats failed unexpectedly" in caplog.text


def test_a_client_that_goes_away_is_not_answered() -> None:
    async def test() -> None:
        bench = Bench(simple())

        async def receive() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(event: Any) -> None:
            raise AssertionError("answered a client that is gone")

        scope = {"type": "http", "method": "GET", "path": "/v2", "headers": []}
        await bench.app(scope, receive, send)

    run(test())
