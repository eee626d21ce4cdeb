from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

from clockwork_triton.bench.models import BenchError, Input, Model
from clockwork_triton.bench.requests import VARIANT_BYTES, VARIANTS, RequestBook, random_rows, read_rows
from clockwork_triton.datatypes import WIRE_TO_NUMPY

MODEL = Model("m", (Input("A", "FP32", (2,), True), Input("B", "INT64", (), False)))


def parse(request: bytes) -> service_pb2.ModelInferRequest:
    return service_pb2.ModelInferRequest.FromString(request)


def test_rows_are_joined_where_the_model_takes_them() -> None:
    a, b = np.array([1, 2], np.float32), np.array(7, np.int64)
    book = RequestBook([MODEL], [[{"A": a.tobytes(), "B": b.tobytes()}]])
    message = parse(book.get(0, 20_000_000, 3, 2))
    assert message.model_name == "m"
    assert [(t.name, t.datatype, list(t.shape)) for t in message.inputs] == [
        ("A", "FP32", [3, 2]),
        ("B", "INT64", []),
    ]
    assert list(message.raw_input_contents) == [a.tobytes() * 3, b.tobytes()]
    assert message.parameters["timeout"].int64_param == 20_000
    assert message.parameters["priority"].uint64_param == 2


def test_no_slo_is_no_parameter() -> None:
    book = RequestBook([MODEL], [random_rows(MODEL, 0)])
    assert not parse(book.get(0, None, 1, 0)).parameters


def test_requests_go_around_the_rows() -> None:
    rows = [{"A": np.full(2, n, np.float32).tobytes(), "B": bytes(8)} for n in range(3)]
    book = RequestBook([MODEL], [rows])
    seen = [parse(book.get(0, None, 1, 0)).raw_input_contents[0] for _ in range(6)]
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3


@pytest.mark.parametrize("datatype", WIRE_TO_NUMPY)
def test_random_inputs_of_every_datatype(datatype: str) -> None:
    model = Model("m", (Input("A", datatype, (3, 4), True),))
    rows = random_rows(model, 0)
    assert len(rows) == VARIANTS
    for data in (row["A"] for row in rows):
        if datatype == "BYTES":
            assert [int(text) for text in deserialize_bytes_tensor(data)] == [
                int(chr(byte)) for byte in data[4::5]
            ]
        elif datatype == "BF16":
            widened = np.frombuffer(data, np.uint16).astype(np.uint32) << 16
            assert np.isfinite(widened.view(np.float32)).all()
            assert len(data) == 24
        else:
            values = np.frombuffer(data, triton_to_np_dtype(datatype))
            assert len(values) == 12
            assert np.isfinite(values).all()
            if values.dtype.kind != "f":
                assert set(values.tolist()) <= {0, 1}


def test_large_inputs_come_in_few_variants() -> None:
    model = Model("m", (Input("A", "FP32", (VARIANT_BYTES // 12,), True),))
    assert len(random_rows(model, 0)) == 3


def test_input_data_as_perf_analyzer_takes_it(tmp_path: Path) -> None:
    file, a = tmp_path / "data.json", np.array([1.5, -2], np.float32)
    entries = [
        {"A": [1.5, -2], "B": [7]},
        {"A": {"content": [1.5, -2], "shape": [2]}, "B": {"b64": base64.b64encode(bytes(8)).decode()}},
    ]
    file.write_text(json.dumps({"data": entries}))
    assert read_rows(file, MODEL) == [
        {"A": a.tobytes(), "B": np.int64(7).tobytes()},
        {"A": a.tobytes(), "B": bytes(8)},
    ]


@pytest.mark.parametrize(
    "text", ["{", '{"data": []}', '{"data": [{"A": [1, 2]}]}', '{"data": [{"A": [1], "B": [1]}]}', "[]"]
)
def test_input_data_that_does_not_fit(tmp_path: Path, text: str) -> None:
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(BenchError, match="input data"):
        read_rows(file, MODEL)
