"""Whatever comes in over HTTP is answered, and never with an error of the server's own."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.shared_memory import SharedMemory
from tests.frontend.fakes import run, simple
from tests.frontend.http.asgi import Answer, Bench
from tests.frontend.http.test_http_server import listening
from tests.frontend.http.test_infer import PATH, both, one_input
from tests.frontend.test_grpc_operations import FakeControl

MEMBERS = ["name", "shape", "datatype", "data", "parameters", "binary_data_size", "binary_data"]
MEMBERS += ["classification", "shared_memory_region", "shared_memory_byte_size", "timeout", "id"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["INT32", "BYTES", "FP16", "INPUT0", "OUTPUT1", "binary_data_size", "priority"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "shape",
                    "datatype",
                    "data",
                    "parameters",
                    "binary_data_size",
                    "binary_data",
                    "classification",
                    "shared_memory_region",
                    "shared_memory_byte_size",
                    "timeout",
                    "id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["simple", "m", "nobody", "a%2F", "\N{BLACK STAR}", "1", ""]) | st.text(max_size=4)
PATHS = st.sampled_from(
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/stats",
        "/v2/models/{}",
        "/v2/models/{}/config",
        "/v2/models/{}/ready",
        "/v2/models/{}/stats",
        "/v2/models/{}/infer",
        "/v2/models/simple/versions/{}/infer",
        "/v2/models/{}/generate",
        "/v2/models/{}/trace/setting",
        "/v2/repository/index",
        "/v2/repository/models/{}/load",
        "/v2/repository/models/{}/unload",
        "/v2/systemsharedmemory/status",
        "/v2/systemsharedmemory/region/{}/register",
        "/v2/systemsharedmemory/region/{}/unregister",
        "/v2/systemsharedmemory/unregister",
        "/v2/cudasharedmemory/region/{}/register",
        "/v2/cudasharedmemory/unregister",
        "/v2/trace/setting",
        "/v2/logging",
        "/{}",
    ]
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "inference_header_content_length": st.integers(-2, 500).map(str) | st.sampled_from(["x", "9" * 40]),
        "content_encoding": st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
        "accept_encoding": st.sampled_from(["gzip", "deflate;q=0.5", "*", "gzip;q=x", "\xff"]),
        "content_length": st.sampled_from(["0", "5", "-1", "x", "9" * 30]),
    },
)


def bench() -> Bench:
    return Bench(
        simple(),
        one_input("BYTES", (4,), max_batch_size=0),
        facilities=Facilities(SharedMemory(allowed=True), control=FakeControl()),
    )


def ask(method: str, path: str, body: bytes, **headers: str) -> Answer:
    answers = []

    async def test() -> None:
        answers.append(await bench().ask(method, path, body, **headers))

    run(test())
    return answers[0]


def check(answer: Answer) -> None:
    """`internal error` is what the server says of its own mistakes; the JSON reader answers 500 as Triton."""
    assert answer.status in (200, 400, 403, 404, 405, 413, 500, 501, 503)
    if answer.status != 200 and answer.body:
        assert answer.json["error"] != "internal error"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A request of which some values are others."""
    document = copy.deepcopy(
        draw(
            st.sampled_from(
                [
                    both(id="7", outputs=[{"name": "OUTPUT0", "parameters": {"classification": 2}}]),
                    both(parameters={"priority": 1, "timeout": 5, "binary_data_output": True}),
                    {"inputs": [{"name": "X", "datatype": "BYTES", "shape": [4], "data": list("abcd")}]},
                ]
            )
        )
    )
    for _ in range(draw(st.integers(1, 3))):
        put(document, draw(st.sampled_from(places(document))), draw(VALUES))
    return document


@given(documents(), HEADERS, st.sampled_from([PATH, "/v2/models/m/infer"]))
def test_requests_with_other_values(document: Any, headers: dict[str, str], path: str) -> None:
    check(ask("POST", path, json.dumps(document).encode() + bytes(64), **headers))
    check(ask("POST", path, json.dumps(document).encode()))


@given(st.data(), HEADERS)
def test_damaged_requests(data: st.DataObject, headers: dict[str, str]) -> None:
    body = bytearray(json.dumps(both(id="7", parameters={"timeout": 5})).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=4))
    check(ask("POST", PATH, bytes(body), **headers))


@given(st.data())
def test_damaged_compression(data: st.DataObject) -> None:
    packed = bytearray(zlib.compress(json.dumps(both()).encode()))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    check(ask("POST", PATH, bytes(packed), content_encoding="deflate"))


@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "X"]),
    PATHS,
    NAMES,
    VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20),
    HEADERS,
)
def test_every_route(method: str, path: str, name: str, body: bytes, headers: dict[str, str]) -> None:
    check(ask(method, path.replace("{}", name), body, **headers))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"inputs":[{"name":"X","datatype":"BYTES","shape":[4],"data":' + b"[" * 1_000_000,
        b'{"inputs":[{"name":"X","datatype":"BYTES","shape":[4],"data":' + b"[" * 900 + b"]" * 900 + b"}]}",
        b'{"inputs":[' + b'{"name":"X"},' * 100_000 + b'{"name":"X"}]}',
        b'{"id":' + b"9" * 1_000_000 + b"}",
        b'{"inputs":[{"name":"X","datatype":"BYTES","shape":[99999999,99999999999],"data":[]}]}',
        b'{"inputs":[{"name":"X","datatype":"BYTES","shape":[' + b"1," * 100_000 + b'4],"data":[]}]}',
        b'{"inputs":[{"name":"X","datatype":"BYTES","shape":[18446744073709551615],"data":[]}]}',
    ],
    ids=[
        "arrays",
        "objects",
        "arrays of data",
        "nested data",
        "inputs",
        "digits",
        "elements",
        "rank",
        "shape",
    ],
)
def test_bombs(body: bytes) -> None:
    answer = ask("POST", "/v2/models/m/infer", body)
    check(answer)
    assert answer.status != 200
    assert len(answer.body) < 10_000 + len(body)


GOOD = b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
PIECES = st.sampled_from(
    [
        b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v2 HTTP/1.0\r\n\r\n",
        b"GET \xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v2/logging HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"5\r\n12345\r\n",
        b"fffffffffffffffff\r\n",
        b"0\r\n\r\n",
        b"POST /v2/logging HTTP/1.1\r\ncontent-length: 7\r\ncontent-length: 8\r\n\r\n",
        b"POST /v2/logging HTTP/1.1\r\ncontent-length: 18446744073709551616\r\n\r\n",
        b"POST /v2/logging HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
        b"\xff: \xff\r\n",
        b"\r\n",
        GOOD % (2, b"{}"),
    ]
) | st.binary(max_size=60)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(PIECES, max_size=8), min_size=1, max_size=10))
def test_bytes_on_the_port(caplog: pytest.LogCaptureFixture, connections: list[list[bytes]]) -> None:
    async def torment(address: str, pieces: list[bytes]) -> None:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 0.01)
        except OSError:
            pass
        writer.transport.abort()

    async def good(address: str) -> bytes:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps(both()).encode()
        writer.write(GOOD % (len(body), body))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        writer.transport.abort()
        return head

    async def test() -> None:
        async with listening() as (_, address):
            hostile = asyncio.gather(*(torment(address, pieces) for pieces in connections))
            assert await good(address) == b"HTTP/1.1 200 OK\r\n"
            await hostile
            assert await good(address) == b"HTTP/1.1 200 OK\r\n"

    caplog.clear()
    run(test())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
