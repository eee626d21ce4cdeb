"""What both servers are asked, good and bad, as data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2


@dataclass(frozen=True)
class HttpExchange:
    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        headers = "".join(f" [{name}: {value}]" for name, value in self.headers.items())
        body = self.body.decode(errors="replace")
        return f"{self.method} {self.path}{headers} {body}".strip()


@dataclass(frozen=True)
class GrpcExchange:
    rpc: str
    request: Any

    def __str__(self) -> str:
        return f"{self.rpc} {' '.join(str(self.request).split())}".strip()


COUNTED = list(range(16))
INFER = "/v2/models/simple/infer"


def tensor(name: str = "INPUT0", **changes: Any) -> dict[str, Any]:
    entry = {"name": name, "datatype": "INT32", "shape": [1, 16], "data": COUNTED} | changes
    return {key: value for key, value in entry.items() if value is not None}


def both(**changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor(), tensor("INPUT1", data=[1] * 16)], **changes}


def double(data: Any, **changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 4], "data": data}], **changes}


def output(name: str = "OUTPUT0", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": parameters}


def http_exchanges() -> Iterator[HttpExchange]:
    for path in (
        *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/simple/ready", "/v2/models/no/ready"),
        *("/v2/models/simple", "/v2/models/simple/versions/1", "/v2/models/no", "/nothing", "/v2/models"),
        *("/v2/models/simple/versions/9", "/v2/models/simple/config", "/v2/models/no/config"),
        *("/v2/models/double/stats", "/v2/models/no/stats", "/v2/models/simple/versions/9/stats"),
        *("/v2/trace/setting", "/v2/models/simple/trace/setting", "/v2/models/no/trace/setting"),
        *("/v2/logging", "/v2/systemsharedmemory/status", "/v2/systemsharedmemory/region/r/status"),
        *("/v2/cudasharedmemory/status", "/v2/cudasharedmemory/region/r/status", INFER),
    ):
        yield HttpExchange("GET", path)
    for path, body in _posted():
        yield HttpExchange("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())
    for body in _infer_bodies():
        yield HttpExchange("POST", INFER, body if isinstance(body, bytes) else json.dumps(body).encode())
    for document in (
        double([0.1, 2, 3.25, 1e10]),
        double([[0.1, 2], [3, 4]]),
        double([1, 2, 3, 1e39]),
        double(5),
        double([1, 2, 3]),
        double([1, 2, 3, "x"]),
        double([0.5, 2, -3, 9], outputs=[output("Y", classification=2)]),
    ):
        yield HttpExchange("POST", "/v2/models/double/infer", json.dumps(document).encode())
    raw = np.arange(4, dtype=np.float32).tobytes()
    length = "Inference-Header-Content-Length"
    for body, header in ((raw, "0"), (raw[:8], "0"), (b"{}", "900"), (b"{}", "-1"), (b'{"a"', "3")):
        yield HttpExchange("POST", "/v2/models/double/infer", body, {length: header})
    yield HttpExchange("POST", INFER, b"x", {"Content-Encoding": "br"})
    for path in ("/v2/models/no/infer", "/v2/models/simple/versions/9/infer"):
        yield HttpExchange("POST", path, b"{}")
    for name, document in (*_sequence_bodies(), *_text_bodies(), *_chain_bodies()):
        yield HttpExchange("POST", f"/v2/models/{name}/infer", json.dumps(document).encode())
    for path, body in _generated():
        yield HttpExchange(
            "POST", f"/v2/models/{path}", body if isinstance(body, bytes) else json.dumps(body).encode()
        )


def _sequence_bodies() -> Iterator[tuple[str, Any]]:
    def asked(value: int, rows: int = 1, **parameters: Any) -> tuple[str, Any]:
        data = {"name": "X", "datatype": "INT32", "shape": [rows, 1], "data": [value] * rows}
        return "sequence", {"inputs": [data], "parameters": parameters}

    yield asked(1)
    yield asked(1, sequence_id=0, sequence_start=True)
    yield asked(1, sequence_id="")
    yield asked(1, sequence_id=7)
    yield asked(1, sequence_id=7, sequence_end=True)
    yield asked(1, sequence_id=7, sequence_start=True)
    yield asked(5, sequence_id=7)
    yield asked(5, rows=2, sequence_id=7)
    yield asked(1, sequence_id=8, sequence_start=True)
    yield asked(5, sequence_id=7, sequence_start=True)
    yield asked(9, sequence_id=7, sequence_end=True)
    yield asked(9, sequence_id=7)
    yield asked(9, sequence_id=8, sequence_end=True)
    yield asked(3, sequence_id=9, sequence_start=True, sequence_end=True)
    yield asked(3, sequence_id=9)


def _text_bodies() -> Iterator[tuple[str, Any]]:
    for shape, data in (
        *(([1, 2], ["a", "\u00fc"]), ([2, 1], ["", "b"]), ([1, 2], [["a", "b"]])),
        *(
            ([1, 2], ["a"]),
            ([1, 1], ["a", "b"]),
            ([1, 1], [5]),
            ([5, 1], ["a"] * 5),
            ([1], ["a"]),
            ([1, -1], ["a"]),
        ),
    ):
        yield "texts", {"inputs": [{"name": "X", "datatype": "BYTES", "shape": shape, "data": data}]}


def _chain_bodies() -> Iterator[tuple[str, Any]]:
    first = tensor("A")
    yield "chain", {"inputs": [first, tensor("B", data=[1] * 16)], "id": "9"}
    yield "chain", {"inputs": [first, tensor("B")], "outputs": [{"name": "C"}]}
    yield "chain", {"inputs": [first]}
    yield "chain", {"inputs": [first, tensor("B", shape=[2, 16], data=COUNTED * 2)]}
    yield "chain", {"inputs": [first, tensor("B", datatype="FP32")]}
    yield "chain", {"inputs": [first, tensor("X")]}
    yield "chain", {"inputs": [first, tensor("B")], "outputs": [{"name": "sum"}]}
    yield "chain", {"inputs": [tensor(name, shape=[9, 16], data=COUNTED * 9) for name in "AB"]}


def _generated() -> Iterator[tuple[str, Any]]:
    yield "double/generate", {"X": [1, 2, 3, 4]}
    yield "double/generate", {"X": [1, 2, 3, 4, 5, 6, 7, 8], "id": "7"}
    yield "double/generate", {"X": [1, 2, 3]}
    yield "double/generate", {"X": ["a", 2, 3, 4]}
    yield "double/generate", {}
    yield "double/generate", {"X": [1, 2, 3, 4], "x": "y", "parameters": {"z": 1}}
    yield "double/generate", {"X": [1, 2, 3, 4], "parameters": 5}
    yield "double/generate", b"{"
    yield "double/generate_stream", {"X": [1, 2, 3, 4]}
    yield "simple/generate", {"INPUT0": COUNTED, "INPUT1": COUNTED}
    yield "texts/generate", {"X": "hello"}
    yield "texts/generate", {"X": ["hello", "you"]}
    yield "texts/versions/1/generate", {"X": "hello"}
    yield "texts/generate_stream", {"X": 5}
    yield "no/generate", {}


def _posted() -> Iterator[tuple[str, Any]]:
    yield "/v2/repository/index", b""
    yield "/v2/repository/index", {"ready": True}
    yield "/v2/repository/index", {"ready": 1}
    yield "/v2/repository/x/index", b""
    yield "/v2/repository/x/models/simple/load", b""
    yield "/v2/repository/models/simple/load", b""
    yield "/v2/repository/models/simple/unload", b""
    yield "/v2/health/live", b""
    for body in (
        {"trace_level": ["X"]},
        {"trace_rate": 5},
        {"trace_rate": "x"},
        {"trace_level": ["OFF", "TENSORS"]},
        {"trace_count": "-2"},
        {"trace_file": "f"},
        {"trace_rate": "0", "trace_level": ["TIMESTAMPS"]},
    ):
        yield "/v2/trace/setting", body
    for body in ({"log_info": 3}, {"log_format": "x"}, {"log_file": "x"}, b"", {"log_info": True}):
        yield "/v2/logging", body
    for body in ({}, {"key": 5}, {"key": "k"}, {"key": "k", "byte_size": -1}, {"key": "k", "byte_size": 8}):
        yield "/v2/systemsharedmemory/region/r/register", body
    yield "/v2/systemsharedmemory/register", {}
    yield "/v2/systemsharedmemory/unregister", b""
    yield "/v2/systemsharedmemory/region/r/unregister", b""
    yield "/v2/cudasharedmemory/unregister", b""


def _infer_bodies() -> Iterator[Any]:
    yield both(id="7")
    yield both(outputs=[{"name": "OUTPUT1"}])
    yield both(outputs=[output(classification=3)])
    yield both(outputs=[output(classification=0)])
    yield both(outputs=[output(binary_data=True)])
    yield both(parameters={"binary_data_output": True})
    yield from (
        b"",
        b"{bad",
        b"[]",
        b"{",
        b'{"inputs":[}',
        {},
        {"inputs": 5},
        {"inputs": [5]},
        {"inputs": []},
    )
    yield {"inputs": [tensor()]}
    yield {"inputs": [tensor(), tensor("X")]}
    yield {"inputs": [tensor(), tensor()]}
    for depth in (50, 120):
        yield b'{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,1],"data":%b1%b}]}' % (
            b"[" * depth,
            b"]" * depth,
        )
    for changes in (
        {"name": None},
        {"name": 5},
        {"datatype": None},
        {"datatype": "WHAT"},
        {"datatype": "FP32"},
        {"datatype": "FP16"},
        {"shape": None},
        {"shape": [1, -1]},
        {"shape": [1, "a"]},
        {"shape": [16]},
        {"shape": [1, 15], "data": COUNTED[:15]},
        {"shape": [9, 16], "data": COUNTED * 9},
        {"data": None},
        {"data": [1]},
        {"data": ["x"] * 16},
        {"data": [1.5] * 16},
        {"data": None, "parameters": {"binary_data_size": 64}},
        {"parameters": {"binary_data_size": 64}},
        {"data": None, "parameters": {"shared_memory_region": "r"}},
    ):
        yield {"inputs": [tensor(**changes), tensor("INPUT1")]}
    for parameters in (
        *({"triton_x": 1}, {"x": [1]}, {"timeout": "a"}, {"timeout": 1000000000}, {"priority": -1}),
        *({"sequence_start": 1}, {"sequence_id": 1.5}, {"x": 1.5}, {"x": "y"}),
    ):
        yield both(parameters=parameters)
    yield both(id=5)
    yield both(outputs=[{"name": "NO"}])
    yield both(outputs=5)
    yield both(outputs=[output(binary_data=5)])
    yield both(outputs=[output(classification="a")])
    yield both(outputs=[output(shared_memory_region="r", classification=1)])
    yield both(outputs=[output(shared_memory_region="r", binary_data=True)])
    yield both(outputs=[output(shared_memory_region="r", shared_memory_byte_size=64)])


def grpc_exchanges() -> Iterator[GrpcExchange]:
    for rpc in ("ServerLive", "ServerReady", "ServerMetadata", "RepositoryIndex", "LogSettings"):
        yield _grpc(rpc)
    for name in ("texts", "sequence", "chain"):
        yield _grpc("ModelMetadata", name=name)
    for rpc in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
        for fields in ({"name": "double"}, {"name": "no"}, {"name": "simple", "version": "9"}):
            yield _grpc(rpc, **fields)
        for version in ("x", "-2", "1x", " 1"):
            yield _grpc(rpc, name="simple", version=version)
    for rpc in ("RepositoryModelLoad", "RepositoryModelUnload"):
        yield _grpc(rpc, model_name="simple")
        yield _grpc(rpc, model_name="simple", repository_name="r")
    yield _grpc("RepositoryIndex", repository_name="r")
    for name in ("", "r"):
        for kind in ("System", "Cuda"):
            yield _grpc(f"{kind}SharedMemoryStatus", name=name)
            yield _grpc(f"{kind}SharedMemoryUnregister", name=name)
    yield _grpc("SystemSharedMemoryRegister", name="r", key="/there-is-none", byte_size=8)
    yield _grpc("CudaSharedMemoryRegister", name="r", raw_handle=b"x", byte_size=8)
    yield _grpc("TraceSetting")
    yield _grpc("TraceSetting", model_name="no")
    yield from map(_infer_exchange, _infer_changes())


def _grpc(rpc: str, **fields: Any) -> GrpcExchange:
    return GrpcExchange(rpc, getattr(service_pb2, f"{rpc}Request")(**fields))


def infer_message() -> Any:
    message = service_pb2.ModelInferRequest(model_name="simple", id="7")
    for name in ("INPUT0", "INPUT1"):
        message.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        message.raw_input_contents.append(np.arange(16, dtype=np.int32).tobytes())
    return message


def _infer_exchange(message: Any) -> GrpcExchange:
    return GrpcExchange("ModelInfer", message)


def _infer_changes() -> Iterator[Any]:
    yield infer_message()
    for attribute, value in (
        *(("model_name", "no"), ("model_version", "9"), ("model_version", "x"), ("model_version", "-1")),
        ("id", ""),
    ):
        message = infer_message()
        setattr(message, attribute, value)
        yield message
    for attribute, value in (("name", "X"), ("name", "INPUT1"), ("datatype", "FP32"), ("datatype", "")):
        message = infer_message()
        setattr(message.inputs[0], attribute, value)
        yield message
    for shape in ([], [1], [1, 15], [2, 16], [9, 16], [1, -1], [0, 16], [-1, 16], [1, 1, 16]):
        message = infer_message()
        message.inputs[0].shape[:] = shape
        yield message
    for raw in ([], [b""], [b"x"], [b"x" * 64, b""], [b"x" * 65, b"x" * 64]):
        message = infer_message()
        message.raw_input_contents[:] = raw
        yield message
    for names in (["OUTPUT1"], ["NO"], ["OUTPUT1", "OUTPUT0"]):
        message = infer_message()
        for name in names:
            message.outputs.add(name=name)
        yield message
    for key, parameter in (
        ("timeout", {"string_param": "a"}),
        ("timeout", {"int64_param": 10**9}),
        ("priority", {"int64_param": -1}),
        ("priority", {"uint64_param": 3}),
        ("sequence_start", {"int64_param": 1}),
        ("triton_x", {"int64_param": 1}),
        ("triton_enable_empty_final_response", {"bool_param": True}),
        ("x", {"double_param": 1.5}),
        ("x", {"uint64_param": 1}),
    ):
        message = infer_message()
        message.parameters[key].MergeFrom(service_pb2.InferParameter(**parameter))
        yield message
    for parameters in ({"classification": 2}, {"classification": 0}):
        message = infer_message()
        wanted = message.outputs.add(name="OUTPUT0")
        for key, value in parameters.items():
            wanted.parameters[key].int64_param = value
        yield message
    message = infer_message()
    message.inputs[0].parameters["shared_memory_region"].string_param = "r"
    yield message
    message = infer_message()
    message.inputs[0].contents.int_contents.append(1)
    yield message
    message = infer_message()
    del message.raw_input_contents[:]
    for entry in message.inputs:
        entry.contents.int_contents.extend(COUNTED)
    yield message
    message = infer_message()
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.append(1)
    yield message
