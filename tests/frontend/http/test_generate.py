from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.generate import EVENT_STREAM
from tests.compatibility import covers
from tests.frontend.fakes import FakeEngine, run, served_model
from tests.frontend.http.asgi import Answer, Bench

ECHO = served_model("echo", [TensorSpec("X", "int32", (2,))], [TensorSpec("Y", "int32", (2,))])
WORDS = replace(
    served_model("words", [TensorSpec("X", "object", (-1,))], [TensorSpec("Y", "object", (1,))]),
    runtime="onnxruntime",
)
LITERAL = served_model(
    "literal", [TensorSpec("X", "float64", (1,))], [TensorSpec("Y", "float64", (1,))], max_batch_size=0
)


def ask(path: str, body: Any, engine: FakeEngine | None = None, **headers: str) -> tuple[Answer, Bench]:
    bench = Bench(ECHO, WORDS, LITERAL, engine=engine)
    answers: list[Answer] = []

    async def test() -> None:
        answers.append(await bench.post(f"/v2/models/{path}", body, **headers))

    run(test())
    return answers[0], bench


@covers("route POST /v2/models/M/generate")
def test_members_are_inputs_and_outputs() -> None:
    answer, _ = ask("echo/generate", {"id": "7", "X": [1, -2]})
    assert answer.json == {"id": "7", "model_name": "echo", "model_version": "1", "Y": [1, -2]}
    answer, bench = ask("literal/versions/1/generate", {"X": 0.5, "timeout": 9000})
    assert answer.json == {"model_name": "literal", "model_version": "1", "Y": 0.5}
    assert bench.engine.calls[0].deadline_ns == bench.clock.now_ns + 9_000_000
    answer, _ = ask("words/generate", {"X": "hello", "parameters": {"temperature": 0.5}})
    assert answer.json["Y"] == "hello"


def test_a_list_goes_into_the_innermost_open_dimension() -> None:
    answer, bench = ask("echo/generate", {"X": [1, 2, 3, 4]})
    assert answer.json["Y"] == [1, 2, 3, 4]
    assert bench.engine.calls[0].rows == 2
    _, bench = ask("words/generate", {"X": ["a", "b"]})
    assert bench.engine.calls[0].shapes == ((1, 2),)


@covers("route POST /v2/models/M/generate_stream", "supported", "one event: an ONNX model answers once")
def test_a_stream_is_of_one_event() -> None:
    answer, _ = ask("echo/generate_stream", {"X": [1, 2]})
    assert answer.headers["content-type"] == EVENT_STREAM
    assert answer.body.startswith(b"data: ")
    assert answer.body.endswith(b"\n\n")
    assert json.loads(answer.body[6:])["Y"] == [1, 2]


def test_what_fails_in_execution_is_an_event() -> None:
    engine = FakeEngine()
    engine.error = ServerError(Code.INTERNAL, "the device failed")
    answer, _ = ask("echo/generate_stream", {"X": [1, 2]}, engine)
    assert (answer.status, answer.body) == (200, b'data: {"error":"the device failed"}\n\n')
    engine = FakeEngine()
    engine.error = ServerError(Code.INTERNAL, "the device failed")
    answer, _ = ask("echo/generate", {"X": [1, 2]}, engine)
    assert answer.error == (500, "the device failed")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"X": [1, 2, 3]}, 400, "The schema can not convert input 'X' to tensor with proper shape"),
        ({}, 400, "expected 1 inputs but got 0 inputs for model 'echo'"),
        ([1], 500, "Expected JSON object"),
        ({"X": ["a", "b"]}, 500, "attempt to access JSON non-signed-integer as signed-integer"),
        ({"X": [1, 2], "parameters": 3}, 500, "Expected JSON object for keyword: 'parameters'"),
    ],
)
def test_what_is_not_in_order_is_refused(body: Any, status: int, said: str) -> None:
    answer, _ = ask("echo/generate", json.dumps(body))
    assert answer.status == status
    assert said in answer.error[1]


def test_unknown_models_and_compressed_bodies() -> None:
    assert ask("no/generate", {})[0].status == 404
    answer, _ = ask("echo/generate", {"X": [1, 2]}, content_encoding="gzip")
    assert answer.error == (400, "Unsupported content-encoding, only 'identity' is supported.")
