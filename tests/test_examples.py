"""What Triton's public client examples ask, asked of a running server with the models of those examples."""

from __future__ import annotations

import os
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
import pytest
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from onnx import helper
from tritonclient.utils import (
    InferenceServerException,
    np_to_triton_dtype,
    serialize_byte_tensor,
    shared_memory,
)

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from scripts.models.__main__ import REPOSITORY
from tests.compatibility import covers
from tests.converters.models import FLOAT, INT64, model, node, saved
from tests.test_server import ServerProcess

TYPES = [wire for wire in WIRE_TO_NUMPY if wire not in ("BYTES", "BF16")]
PROTOCOLS = pytest.mark.parametrize("kind", [grpcclient, httpclient], ids=["grpc", "http"])


ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "TEXT0" data_type: TYPE_STRING dims: [ 16 ] } ]
input [ { name: "TEXT1" data_type: TYPE_STRING dims: [ 16 ] } ]
output [ { name: "SUM" data_type: TYPE_STRING dims: [ 16 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "simple_string"
      model_version: -1
      input_map { key: "INPUT0" value: "first" }
      input_map { key: "INPUT1" value: "TEXT1" }
      output_map { key: "OUTPUT0" value: "SUM" }
    },
    {
      model_name: "simple_identity"
      model_version: -1
      input_map { key: "INPUT0" value: "TEXT0" }
      output_map { key: "OUTPUT0" value: "first" }
    }
  ]
}
"""


class Ports(NamedTuple):
    http: int
    grpc: int


def write_types(directory: Path) -> None:
    """A model that gives back a tensor of every type there is."""
    directory.mkdir(parents=True)
    kinds = {wire: helper.np_dtype_to_tensor_dtype(np.dtype(WIRE_TO_NUMPY[wire])) for wire in TYPES}
    kinds["BF16"] = onnx.TensorProto.BFLOAT16
    nodes = [node("Identity", [f"IN_{wire}"], [f"OUT_{wire}"]) for wire in kinds]
    inputs, outputs = (
        {f"{side}_{wire}": (kind, ["N", 5]) for wire, kind in kinds.items()} for side in ("IN", "OUT")
    )
    saved(model(nodes, inputs, outputs), directory)


def write_found(directory: Path) -> None:
    """A model that cannot be compiled: the places of what is not zero, in vectors of any length."""
    directory.mkdir(parents=True)
    proto = model([node("NonZero", ["X"], ["Y"])], {"X": (FLOAT, ["length"])}, {"Y": (INT64, [1, "found"])})
    saved(proto, directory)


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    repository = tmp_path_factory.mktemp("repository")
    for path in REPOSITORY.glob("simple*"):
        shutil.copytree(path, repository / path.name)
    (repository / "ensemble" / "1").mkdir(parents=True)
    (repository / "ensemble" / "config.pbtxt").write_text(ENSEMBLE)
    write_types(repository / "types" / "1")
    write_found(repository / "found" / "1")
    server = ServerProcess(
        f"--model-repository={repository}",
        f"--artifact-cache={tmp_path_factory.mktemp('cache')}",
        "--model-control-mode=explicit",
        "--load-model=*",
        "--allow-client-shm=true",
    )
    grpc = server.read_until(r"Started GRPCInferenceService at 127\.0\.0\.1:(\d+)")[1]
    http = server.read_until(r"Started HTTPService at 127\.0\.0\.1:(\d+)")[1]
    server.read_until('"Ready"')
    yield Ports(int(http), int(grpc))
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.lines)


def connect(kind: Any, ports: Ports) -> Any:
    port = ports.grpc if kind is grpcclient else ports.http
    return kind.InferenceServerClient(f"127.0.0.1:{port}")


def tensor(kind: Any, name: str, array: np.ndarray) -> Any:
    given = kind.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    given.set_data_from_numpy(array)
    return given


def texts(array: np.ndarray) -> np.ndarray:
    return np.array([str(number).encode() for number in array.ravel()], object).reshape(array.shape)


@covers("BYTES tensors", "supported", "on a host runtime: ONNX Runtime, or ONNX's reference evaluator")
@PROTOCOLS
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_numbers_written_as_texts_are_added(ports: Ports, kind: Any, rows: int) -> None:
    x, y = np.arange(16 * rows).reshape(rows, 16), np.full((rows, 16), -1)
    with connect(kind, ports) as client:
        inputs = [tensor(kind, "INPUT0", texts(x)), tensor(kind, "INPUT1", texts(y))]
        answer = client.infer("simple_string", inputs)
        assert (answer.as_numpy("OUTPUT0") == texts(x + y)).all()
        assert (answer.as_numpy("OUTPUT1") == texts(x - y)).all()
        inputs[1] = tensor(kind, "INPUT1", texts(y).astype(object))
        inputs[1].set_data_from_numpy(np.full(y.shape, b"no number", object))
        with pytest.raises(InferenceServerException, match=r"onnxruntime: .*Cast node"):
            client.infer("simple_string", inputs)


@PROTOCOLS
@pytest.mark.parametrize("given", [[[b"a", b"", "ü".encode()]], [[b"x"], [b"yz"]], [[]]])
def test_any_number_of_texts_comes_back(ports: Ports, kind: Any, given: list[list[bytes]]) -> None:
    array = np.array(given, object)
    with connect(kind, ports) as client:
        answer = client.infer("simple_identity", [tensor(kind, "INPUT0", array)])
        assert answer.as_numpy("OUTPUT0").tolist() == given


def test_it_is_told_what_runs_a_model_and_why(ports: Ports) -> None:
    with connect(httpclient, ports) as client:
        said = client.get_model_config("simple_string")["parameters"]
        assert said["runtime"]["string_value"] == "onnxruntime"
        assert "'INPUT0' holds strings" in said["runtime_reason"]["string_value"]
        assert not client.get_model_config("simple")["parameters"]
        index = {entry["name"]: entry.get("reason", "") for entry in client.get_model_repository_index()}
    assert index["simple"] == ""
    assert index["simple_identity"].startswith("runs on onnxruntime: 'INPUT0' holds strings")
    assert index["found"].startswith("runs on onnxruntime: ")


@covers("models that cannot be compiled", "supported", "--fallback, on ONNX Runtime where it is installed")
@PROTOCOLS
@pytest.mark.parametrize("given", [[0, 2, 0, 5], [0, 0], [1]])
def test_a_model_that_cannot_be_compiled_runs_all_the_same(
    ports: Ports, kind: Any, given: list[float]
) -> None:
    array = np.array(given, np.float32)
    with connect(kind, ports) as client:
        answer = client.infer("found", [tensor(kind, "X", array)])
        assert answer.as_numpy("Y").tolist() == [np.flatnonzero(array).tolist()]


@covers("every datatype but BYTES")
@PROTOCOLS
def test_tensors_of_every_type(ports: Ports, kind: Any) -> None:
    random = np.random.default_rng(0)
    arrays = {wire: random.integers(0, 2, (2, 5)).astype(WIRE_TO_NUMPY[wire]) for wire in TYPES}
    for array in arrays.values():
        if array.dtype.kind in "iu":
            array[0, 0], array[1, 1] = np.iinfo(array.dtype).min, np.iinfo(array.dtype).max
    arrays["BF16"] = np.array([[1, -2, 0.5, 3, 4]] * 2, ml_dtypes.bfloat16)
    inputs = [tensor(kind, f"IN_{wire}", array) for wire, array in arrays.items()]
    with connect(kind, ports) as client:
        answer = client.infer("types", inputs)
        for wire, array in arrays.items():
            given = answer.as_numpy(f"OUT_{wire}")
            assert wire == "BF16" or given.dtype == array.dtype
            assert (given.astype(array.dtype) == array).all(), wire


def test_typed_contents_over_grpc(ports: Ports) -> None:
    """The examples grpc_explicit_int_content_client and grpc_explicit_byte_content_client."""
    with connect(grpcclient, ports) as client:
        for name, field, one in (("simple", "int_contents", 1), ("simple_string", "bytes_contents", b"1")):
            datatype = "INT32" if name == "simple" else "BYTES"
            request = grpcclient.service_pb2.ModelInferRequest(model_name=name)
            for input_name in ("INPUT0", "INPUT1"):
                given = request.inputs.add(name=input_name, datatype=datatype, shape=[1, 16])
                getattr(given.contents, field).extend([one] * 16)
            answer = client._client_stub.ModelInfer(request)
            raw = answer.raw_output_contents[0]
            assert raw == (
                np.full(16, 2, np.int32).tobytes() if name == "simple" else b"\x01\x00\x00\x002" * 16
            )


@PROTOCOLS
def test_an_ensemble_of_models_of_texts(ports: Ports, kind: Any) -> None:
    x, y = np.arange(48).reshape(3, 16), np.full((3, 16), 4)
    with connect(kind, ports) as client:
        inputs = [tensor(kind, "TEXT0", texts(x)), tensor(kind, "TEXT1", texts(y))]
        answer = client.infer("ensemble", inputs, timeout=10_000_000)
        assert (answer.as_numpy("SUM") == texts(x + y)).all()
        with pytest.raises(InferenceServerException, match="Request timeout expired"):
            client.infer("ensemble", inputs, timeout=1)


VALUES = [11, 7, 5, 3, 2, 0, 1]


@covers("sequence_batching", "supported", "requests of a sequence wait for each other; there are no slots")
@pytest.mark.parametrize(
    ("name", "given_id", "first", "expected"),
    [
        ("simple_sequence", 1000, 0, [1, *VALUES]),
        ("simple_sequence", "6e4a", 100, [101, *VALUES]),
        ("simple_dyna_sequence", 1001, 100, [101, *VALUES[:-1], 1002]),
        ("simple_string_dyna_sequence", "1002", 20, [20, 31, 38, 43, 46, 48, 48, 1051]),
    ],
)
def test_sequences_on_a_stream(
    ports: Ports, name: str, given_id: int | str, first: int, expected: list[int]
) -> None:
    """The example simple_grpc_sequence_stream_infer_client: all requests are sent before any is answered."""
    answers: queue.Queue[Any] = queue.Queue()
    values = [first, *VALUES]
    with connect(grpcclient, ports) as client:
        client.start_stream(lambda result, error: answers.put(error or result))
        for place, value in enumerate(values):
            client.async_stream_infer(
                name,
                [tensor(grpcclient, "INPUT", np.full((1, 1), value, np.int32))],
                request_id=str(place),
                sequence_id=given_id,
                sequence_start=place == 0,
                sequence_end=place == len(values) - 1,
            )
        got = [answers.get(timeout=30) for _ in values]
        client.stop_stream()
    assert [int(answer.as_numpy("OUTPUT")[0, 0]) for answer in got] == expected


@PROTOCOLS
def test_sequences_one_request_at_a_time(ports: Ports, kind: Any) -> None:
    """The examples simple_*_sequence_sync_infer_client."""
    with connect(kind, ports) as client:

        def ask(value: int, **sequence: Any) -> int:
            inputs = [tensor(kind, "INPUT", np.full((1, 1), value, np.int32))]
            answer = client.infer("simple_string_dyna_sequence", inputs, **sequence)
            return int(answer.as_numpy("OUTPUT")[0, 0])

        for given_id in ("70", "71"):
            assert ask(1, sequence_id=given_id, sequence_start=True) == 1
        for given_id in ("70", "71"):
            assert ask(2, sequence_id=given_id) == 3
        assert ask(3, sequence_id="70", sequence_end=True) == 76
        with pytest.raises(
            InferenceServerException, match="must specify the START flag on the first request"
        ):
            ask(4, sequence_id="70")
        with pytest.raises(InferenceServerException, match="a non-zero or non-empty correlation ID"):
            ask(4)
        assert ask(3, sequence_id="71", sequence_end=True) == 77


@PROTOCOLS
def test_texts_in_shared_memory(ports: Ports, kind: Any) -> None:
    """The examples simple_*_shm_string_client."""
    x, y = texts(np.arange(16).reshape(1, 16)), texts(np.ones((1, 16), int))
    data = [serialize_byte_tensor(array) for array in (x, y)]
    key = f"/texts-{kind.__name__}-{os.getpid()}"
    region = shared_memory.create_shared_memory_region("region", key, 4096)
    try:
        with connect(kind, ports) as client:
            client.unregister_system_shared_memory()
            client.register_system_shared_memory("region", key, 4096)
            inputs = []
            for place, (name, content) in enumerate(zip(("INPUT0", "INPUT1"), data, strict=True)):
                shared_memory.set_shared_memory_region(region, [content], offset=1024 * place)
                inputs.append(kind.InferInput(name, [1, 16], "BYTES"))
                inputs[-1].set_shared_memory("region", len(content.item()), offset=1024 * place)
            output = kind.InferRequestedOutput("OUTPUT0")
            output.set_shared_memory("region", 1024, offset=2048)
            answer = client.infer("simple_string", inputs, outputs=[output])
            said = answer.get_output("OUTPUT0")
            shape = said["shape"] if kind is httpclient else said.shape
            result = shared_memory.get_contents_as_numpy(region, np.object_, list(shape), offset=2048)
            assert (result == texts(np.arange(1, 17).reshape(1, 16))).all()
            output.set_shared_memory("region", 16, offset=2048)
            with pytest.raises(InferenceServerException, match="shared memory size specified"):
                client.infer("simple_string", inputs, outputs=[output])
            client.unregister_system_shared_memory("region")
    finally:
        shared_memory.destroy_shared_memory_region(region)


@PROTOCOLS
def test_objects_are_used_again(ports: Ports, kind: Any) -> None:
    """The example reuse_infer_objects_client: shared memory, then data, then shared memory again."""
    x = np.arange(16, dtype=np.int32).reshape(1, 16)
    key = f"/again-{kind.__name__}-{os.getpid()}"
    region = shared_memory.create_shared_memory_region("again", key, 256)
    try:
        with connect(kind, ports) as client:
            client.register_system_shared_memory("again", key, 256)
            shared_memory.set_shared_memory_region(region, [x, x])
            inputs = [kind.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
            output = kind.InferRequestedOutput("OUTPUT0")
            for in_memory in (True, False, True):
                for place, given in enumerate(inputs):
                    if in_memory:
                        given.set_shared_memory("again", 64, offset=64 * place)
                    else:
                        given.set_data_from_numpy(3 * x)
                if in_memory:
                    output.set_shared_memory("again", 64, offset=128)
                else:
                    output.unset_shared_memory()
                answer = client.infer("simple", inputs, outputs=[output])
                if in_memory:
                    total = shared_memory.get_contents_as_numpy(region, np.int32, [1, 16], offset=128)
                else:
                    total = answer.as_numpy("OUTPUT0")
                assert (total == (2 if in_memory else 6) * x).all()
            client.unregister_system_shared_memory()
    finally:
        shared_memory.destroy_shared_memory_region(region)
