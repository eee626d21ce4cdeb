"""Inference over HTTP: what is asked for, in which form, and every way to get it wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.telemetry.trace_settings import TraceSettings
from clockwork_triton.telemetry.tracer import Tracer
from tests.compatibility import covers
from tests.frontend.fakes import LEVELS, FakeEngine, run, served_model, simple
from tests.frontend.http.asgi import Answer, Bench

COUNTED = list(range(16))
PATH = "/v2/models/simple/infer"


def one_input(datatype: str, dims: tuple[int, ...], **changes: Any) -> Any:
    """A model that answers with what it was given."""
    dtype = {"FP32": "float32", "FP16": "float16", "BYTES": "object", "INT32": "int32"}[datatype]
    return served_model("m", [TensorSpec("X", dtype, dims)], [TensorSpec("Y", dtype, dims)], **changes)


def tensor(name: str = "INPUT0", rows: int = 1, **changes: Any) -> dict[str, Any]:
    entry = {"name": name, "datatype": "INT32", "shape": [rows, 16], "data": COUNTED * rows}
    return {key: value for key, value in (entry | changes).items() if value is not None}


def both(rows: int = 1, **changes: Any) -> dict[str, Any]:
    ones = tensor("INPUT1", rows, data=[1] * 16 * rows)
    return {"inputs": [tensor(rows=rows), ones], **changes}


def infer(document: Any, *models: Any, path: str = PATH, **headers: str) -> Answer:
    async def ask() -> Answer:
        return await Bench(*models).post(path, document, **headers)

    answers = []

    async def test() -> None:
        answers.append(await ask())

    run(test())
    return answers[0]


@covers("tensors in JSON")
def test_json_in_and_out() -> None:
    answer = infer(both(id="7"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "id": "7",
        "model_name": "simple",
        "model_version": "1",
        "outputs": [
            {
                "name": "OUTPUT0",
                "datatype": "INT32",
                "shape": [1, 16],
                "data": [value + 1 for value in COUNTED],
            },
            {
                "name": "OUTPUT1",
                "datatype": "INT32",
                "shape": [1, 16],
                "data": [value - 1 for value in COUNTED],
            },
        ],
    }


@covers("binary tensors over HTTP")
def test_binary_tensors_follow_the_json_in_order() -> None:
    raw = np.arange(32, dtype=np.int32).tobytes()
    document = both(rows=2, outputs=[{"name": "OUTPUT1", "parameters": {"binary_data": True}}])
    document["inputs"][0] = tensor(rows=2, data=None, parameters={"binary_data_size": 128})
    head = json.dumps(document).encode()
    answer = infer([head, raw[:5], raw[5:]], inference_header_content_length=str(len(head)))
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers["inference-header-content-length"])
    (output,) = json.loads(answer.body[:length])["outputs"]
    assert output == {
        "name": "OUTPUT1",
        "datatype": "INT32",
        "shape": [2, 16],
        "parameters": {"binary_data_size": 128},
    }
    assert answer.body[length:] == (np.arange(32, dtype=np.int32) - 1).tobytes()


def test_all_outputs_may_be_binary() -> None:
    answer = infer(both(parameters={"binary_data_output": True}))
    length = int(answer.headers["inference-header-content-length"])
    outputs = json.loads(answer.body[:length])["outputs"]
    assert [output["parameters"] for output in outputs] == [{"binary_data_size": 64}] * 2
    assert len(answer.body) == length + 128


def test_outputs_that_are_named_say_for_themselves() -> None:
    outputs = [{"name": "OUTPUT0"}]
    answer = infer(both(outputs=outputs, parameters={"binary_data_output": True}))
    assert len(answer.json["outputs"][0]["data"]) == 16


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_a_version_may_be_asked_for(version: str) -> None:
    assert infer(both(), path=f"/v2/models/simple{version}/infer").status == 200


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v2/models/no/infer", (404, "Request for unknown model: 'no' is not found")),
        (
            "/v2/models/simple/versions/9/infer",
            (503, "Request for unknown model: 'simple' version 9 is not at ready state"),
        ),
        ("/v2/models/simple/versions/x/infer", (404, "Not Found")),
    ],
)
def test_unknown_models(path: str, error: tuple[int, str]) -> None:
    assert infer(b"not even JSON", path=path).error == error


NO_SOURCE = (
    "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
    "'shared_memory_region' in 'parameters'. But"
)
UINT = "attempt to access JSON non-unsigned-integer as unsigned-integer"


@covers(
    "errors over HTTP",
    "different",
    "bodies are always application/json; where the JSON parser stops may differ",
)
@pytest.mark.parametrize(
    ("document", "status", "message"),
    [
        (b"{", 500, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
        ([], 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({}, 500, "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"),
        ({"inputs": 5}, 500, "Unable to parse 'inputs': attempt to access JSON non-array as array"),
        ({"inputs": [5]}, 400, f"{NO_SOURCE} no field is set"),
        ({"inputs": [{"name": "INPUT0"}]}, 400, f"{NO_SOURCE} no field is set"),
        (
            {"inputs": [tensor(parameters={"binary_data_size": 4, "shared_memory_region": "r"})]},
            400,
            f"{NO_SOURCE} set 'data' 'binary_data_size' 'shared_memory_region'",
        ),
        (
            {"inputs": [{"data": [1]}]},
            500,
            "Unable to parse 'name': attempt to access non-existing object member 'name'",
        ),
        (
            {"inputs": [tensor(datatype=None)]},
            500,
            "Unable to parse 'datatype': attempt to access non-existing object member 'datatype'",
        ),
        (
            {"inputs": [tensor(shape=None)]},
            500,
            "Unable to parse 'shape': attempt to access non-existing object member 'shape'",
        ),
        ({"inputs": [tensor(shape=[1, -1])]}, 500, f"Unable to parse 'shape': {UINT}"),
        (
            {"inputs": [tensor(data=[1])]},
            500,
            "Unable to parse 'data': Shape does not match true shape of 'data' field",
        ),
        ({"inputs": [tensor(datatype="WHAT")]}, 400, "invalid datatype for input INPUT0"),
        (
            {"inputs": [tensor(data=None, parameters={"binary_data_size": 64})]},
            400,
            "unexpected size for input 'INPUT0', expecting 64 additional bytes for model 'simple'",
        ),
        (
            {"inputs": [tensor(data=None, parameters={"binary_data_size": -1})]},
            500,
            f"Unable to parse 'binary_data_size': {UINT}",
        ),
        (
            {"inputs": [tensor(), tensor()], "id": "7"},
            400,
            "[request id: 7] input 'INPUT0' already exists in request",
        ),
        (
            {"inputs": []},
            400,
            "[request id: <id_unknown>] expected 2 inputs but got 0 inputs for model 'simple'. Got input(s) "
            "[], but missing required input(s) ['INPUT0','INPUT1']. Please provide all required input(s).",
        ),
        ({"id": 5, "inputs": []}, 500, "Unable to parse 'id': attempt to access JSON non-string as string"),
        (
            both(outputs=[{"name": "NO"}]),
            400,
            "unexpected inference output 'NO' for model 'simple'",
        ),
        (
            both(outputs=[{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]),
            400,
            "Duplicate output name 'OUTPUT0' is not allowed in a request",
        ),
        (both(outputs={}), 500, "Unable to parse 'outputs': attempt to access JSON non-array as array"),
        (
            both(outputs=[{}]),
            500,
            "Unable to parse 'name': attempt to access non-existing object member 'name'",
        ),
        (
            both(outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": 1}}]),
            500,
            "Unable to parse 'binary_data': attempt to access JSON non-boolean as boolean",
        ),
        (
            both(outputs=[{"name": "OUTPUT0", "parameters": {"classification": "1"}}]),
            500,
            f"Unable to set 'classification': {UINT}",
        ),
        (
            both(
                outputs=[
                    {"name": "OUTPUT0", "parameters": {"classification": 1, "shared_memory_region": "r"}}
                ]
            ),
            400,
            "Output can't set both 'shared_memory_region' and 'classification'",
        ),
        (
            both(
                outputs=[
                    {"name": "OUTPUT0", "parameters": {"binary_data": True, "shared_memory_region": "r"}}
                ]
            ),
            400,
            "Output can't set both 'shared_memory_region' and 'binary_data'",
        ),
        (
            both(outputs=[{"name": "OUTPUT0", "parameters": {"shared_memory_region": "r"}}]),
            404,
            "Unable to find shared memory region: 'r'",
        ),
        (
            both(parameters={"triton_x": 1}),
            400,
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not be "
            "specified.",
        ),
        (
            both(parameters={"x": [1]}),
            400,
            "parameter 'x' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
        (both(parameters={"timeout": "a"}), 500, f"Unable to parse 'timeout': {UINT}"),
        (both(parameters={"priority": -1}), 500, f"Unable to parse 'priority': {UINT}"),
        (
            both(parameters={"sequence_start": 1}),
            500,
            "Unable to parse 'sequence_start': attempt to access JSON non-boolean as boolean",
        ),
        (
            both(parameters={"sequence_id": 1.5}),
            500,
            "Unable to parse 'sequence_id': attempt to access JSON non-string as string",
        ),
        (
            both(parameters=[]),
            500,
            "failed to get request params.: attempt to access JSON non-object as object",
        ),
    ],
)
def test_wrong_requests(document: Any, status: int, message: str) -> None:
    if not isinstance(document, bytes):
        document = json.dumps(document)
    assert infer(document).error == (status, message)


@pytest.mark.parametrize(
    ("length", "status", "message"),
    [
        ("900", 400, "inference header size should be in range (0, 2), got: 900"),
        ("-1", 400, "inference header size should be in range (0, 2), got: -1"),
        ("1", 500, "failed to parse the request JSON buffer: Missing a name for object member. at 1"),
    ],
)
def test_wrong_header_lengths(length: str, status: int, message: str) -> None:
    assert infer(b"{}", inference_header_content_length=length).error == (status, message)


def test_bytes_that_belong_to_no_tensor_are_refused() -> None:
    head = json.dumps(both()).encode()
    answer = infer([head, b"more"], inference_header_content_length=str(len(head)))
    assert answer.error == (400, "unexpected additional input data for model 'simple'")


@covers("raw binary requests over HTTP")
def test_a_raw_request_is_one_row_of_the_only_input() -> None:
    model = one_input("FP32", (4,))
    raw = np.arange(4, dtype=np.float32).tobytes()
    answer = infer(raw, model, path="/v2/models/m/infer", inference_header_content_length="0")
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.body[:length])["outputs"][0]["shape"] == [1, 4]
    assert answer.body[length:] == raw
    short = infer(raw[:8], model, path="/v2/models/m/infer", inference_header_content_length="0")
    assert short.error == (
        400,
        "[request id: <id_unknown>] input byte size mismatch for input 'raw_input' for model 'm'. "
        "Expected 16, got 8",
    )


def test_a_raw_string_needs_no_length() -> None:
    model = one_input("BYTES", (1,))
    answer = infer(b"hello", model, path="/v2/models/m/infer", inference_header_content_length="0")
    assert answer.body.endswith(b"\x05\0\0\0hello")


@pytest.mark.parametrize(
    ("datatype", "dims", "message"),
    [
        ("BYTES", (2,), "For BYTE datatype raw input 'X', the model must have input shape [1]"),
        ("BYTES", (-1,), "For BYTE datatype raw input 'X', the model must have input shape [1]"),
        (
            "FP32",
            (-1, -1),
            "The shape of the raw input 'X' can not be deduced because there are more than one "
            "variable-sized dimension",
        ),
    ],
)
def test_a_raw_request_has_one_possible_shape(datatype: str, dims: tuple[int, ...], message: str) -> None:
    model = one_input(datatype, dims)
    answer = infer(b"hello", model, path="/v2/models/m/infer", inference_header_content_length="0")
    assert answer.error == (400, f"[request id: <id_unknown>] {message}")


@pytest.mark.parametrize("length", ["0", "abc"])
def test_a_raw_request_needs_a_model_with_one_input(length: str) -> None:
    answer = infer(b"x", inference_header_content_length=length)
    assert answer.error == (
        400,
        "[request id: <id_unknown>] Raw request must only have 1 input (found 1) to be deduced but got 2 "
        "inputs in 'simple' model configuration",
    )


@covers("gzip and deflate over HTTP")
@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compression_both_ways(encoding: str, pack: Any, rows: int) -> None:
    plain = json.dumps(both(rows=rows, id="7")).encode()
    answer = infer(pack(plain), content_encoding=encoding, accept_encoding=encoding)
    assert answer.headers["content-encoding"] == encoding
    unpack = gzip.decompress if encoding == "gzip" else zlib.decompress
    assert json.loads(unpack(answer.body)) == infer(plain).json


def test_the_length_of_the_json_is_that_before_compression() -> None:
    answer = infer(both(parameters={"binary_data_output": True}), accept_encoding="gzip")
    body = gzip.decompress(answer.body)
    length = int(answer.headers["inference-header-content-length"])
    assert json.loads(body[:length])["model_name"] == "simple"
    assert len(body) == length + 128


def test_other_encodings_are_refused() -> None:
    answer = infer(b"x", content_encoding="br")
    assert answer.error == (501, "Unsupported compression type")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    answer = infer(b"x", content_encoding="gzip")
    assert answer.status == 400


@covers("--http-max-input-size", "different", "of the whole body, where Triton has it of each tensor")
def test_sizes_are_limited_before_and_after_decompression() -> None:
    async def test() -> None:
        bench = Bench(app={"max_bytes": 3000})
        message = (
            "Request content size exceeds the maximum allowed value: "
            "it exceeds the maximum allowed input size of 3000 bytes. "
            "Use --http-max-input-size to increase the limit."
        )
        assert (await bench.post(PATH, both())).status == 200
        long = await bench.post(PATH, [b" " * 1000] * 4)
        assert long.error == (400, message)
        assert long.headers["connection"] == "close"
        assert (await bench.post(PATH, [b"x"], content_length="3001")).error == (400, message)
        assert (await bench.post(PATH, [b" " * 1000] * 40)).error == (400, message)
        bomb = gzip.compress(bytes(100_000))
        assert (await bench.post(PATH, bomb, content_encoding="gzip")).error == (400, message)

    run(test())


def test_classification() -> None:
    outputs = [{"name": "OUTPUT0", "parameters": {"classification": 2}}]
    (output,) = infer(both(outputs=outputs)).json["outputs"]
    assert output == {
        "name": "OUTPUT0",
        "datatype": "BYTES",
        "shape": [1, 2],
        "data": ["16:15", "15:14"],
    }
    outputs = [{"name": "OUTPUT0", "parameters": {"classification": 0}}]
    assert infer(both(outputs=outputs)).json["outputs"][0]["datatype"] == "INT32"


@covers("shared memory over HTTP")
def test_tensors_in_shared_memory(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "object").write_bytes(np.arange(32, dtype=np.int32).tobytes())
        bench = Bench(facilities=Facilities(SharedMemory(True, tmp_path)))
        body = {"key": "/object", "byte_size": 128}
        assert (await bench.post("/v2/systemsharedmemory/region/r/register", body)).status == 200
        region = {"shared_memory_region": "r", "shared_memory_byte_size": 64}
        document = both(
            outputs=[
                {"name": "OUTPUT0", "parameters": {**region, "shared_memory_offset": 64}},
                {"name": "OUTPUT1"},
            ]
        )
        document["inputs"][0] = tensor(data=None, parameters=region)
        answer = await bench.post(PATH, document)
        assert answer.json["outputs"][0] == {"name": "OUTPUT0", "datatype": "INT32", "shape": [1, 16]}
        assert answer.json["outputs"][1]["data"] == [value - 1 for value in COUNTED]
        written = np.frombuffer((tmp_path / "object").read_bytes(), np.int32)
        np.testing.assert_array_equal(written[16:], np.arange(16) + 1)
        assert bench.plane.facilities.shared_memory.status("r")[0].users == 0
        document["inputs"][1]["data"] = ["no"]
        assert (await bench.post(PATH, document)).status == 500
        assert bench.plane.facilities.shared_memory.status("r")[0].users == 0

    run(test())


def test_half_precision_is_only_sent_in_bytes() -> None:
    model = one_input("FP16", (2,))
    entry = {"name": "X", "datatype": "FP16", "shape": [1, 2], "parameters": {"binary_data_size": 4}}
    head = json.dumps({"inputs": [entry]}).encode()
    answer = infer(
        [head, b"\0\0\0\0"], model, path="/v2/models/m/infer", inference_header_content_length=str(len(head))
    )
    assert answer.error == (
        400,
        "sending FP16 data via JSON is not supported. Please use the binary data format for output",
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ServerError(Code.UNAVAILABLE, "Request timeout expired"), (503, "Request timeout expired")),
        (ServerError(Code.INTERNAL, "device"), (500, "device")),
        (ZeroDivisionError("bug"), (500, "internal error in an inference of model 'simple'")),
    ],
)
def test_the_engines_errors(error: Exception, expected: tuple[int, str]) -> None:
    async def test() -> None:
        engine = FakeEngine()
        engine.error = error
        assert (await Bench(engine=engine).post(PATH, both())).error == expected

    run(test())


def test_timeout_and_priority_reach_the_engine() -> None:
    async def test() -> None:
        bench = Bench(simple(queue=LEVELS))
        parameters = {"timeout": 5000, "priority": 2, "mine": "x", "sequence_id": "s", "sequence_end": False}
        await bench.post(PATH, both(parameters=parameters))
        (call,) = bench.engine.calls
        assert call.deadline_ns == call.arrival_ns + 5_000_000
        assert call.priority == 2

    run(test())


def test_traces_have_https_stamps(tmp_path: Path) -> None:
    async def test() -> None:
        settings = TraceSettings(("TIMESTAMPS",), 1, 1, file=str(tmp_path / "trace"))
        bench = Bench(facilities=Facilities(tracer=Tracer(settings)))
        await bench.post(PATH, both())
        trace = json.loads((tmp_path / "trace.0").read_text())
        names = [entry["timestamps"][0]["name"] for entry in trace if "timestamps" in entry]
        assert names[-5:] == [
            *("HTTP_RECV_START", "HTTP_RECV_END", "INFER_RESPONSE_COMPLETE"),
            *("HTTP_SEND_START", "HTTP_SEND_END"),
        ]

    run(test())


def test_a_model_with_scalars_of_its_own_shape() -> None:
    document = {"inputs": [{"name": "X", "datatype": "INT32", "shape": [2], "data": [1, 2]}]}
    model = one_input("INT32", (2,), max_batch_size=0)
    assert infer(document, model, path="/v2/models/m/infer").json["outputs"][0]["data"] == [1, 2]
    assert infer(both(), simple(max_batch_size=0)).status == 400
