from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.telemetry.trace import Trace
from clockwork_triton.telemetry.trace_settings import TraceSettings, from_options, parse_changes
from clockwork_triton.telemetry.tracer import Tracer

STAMPS = TraceSettings(level=("TIMESTAMPS",), rate=1)


def tracer(tmp_path: Path, **settings: Any) -> Tracer:
    return Tracer(TraceSettings(("TIMESTAMPS",), **{"rate": 1, **settings}, file=str(tmp_path / "trace")))


def traced(tracer: Tracer, model: str = "m") -> bool:
    trace = tracer.sample(model)
    if trace is None:
        return False
    trace.begin(model, 1, "")
    trace.end()
    return True


def ids(path: Path) -> list[int]:
    return [entry["id"] for entry in json.loads(path.read_text())]


def test_nothing_is_traced_unless_asked(tmp_path: Path) -> None:
    quiet = Tracer()
    assert not quiet.active
    assert not traced(quiet)


def test_one_of_so_many_requests_is_traced(tmp_path: Path) -> None:
    chosen = tracer(tmp_path, rate=3)
    assert chosen.active
    assert [traced(chosen) for _ in range(7)] == [False, False, True, False, False, True, False]
    chosen.close()


def test_without_a_limit_traces_go_to_one_file_that_closes_with_the_tracer(tmp_path: Path) -> None:
    growing = tracer(tmp_path)
    assert traced(growing)
    assert traced(growing)
    growing.close()
    assert ids(tmp_path / "trace") == [1, 2]


def test_a_limited_number_goes_to_a_numbered_file_when_complete(tmp_path: Path) -> None:
    limited = tracer(tmp_path, count=2)
    late = limited.sample("m")
    assert late is not None
    assert traced(limited)
    assert not traced(limited)
    assert limited.settings().count == 0
    assert not (tmp_path / "trace.0").exists()
    late.begin("m", 1, "")
    late.end()
    late.end()
    assert ids(tmp_path / "trace.0") == [2, 1]


def test_each_so_many_go_to_a_file_of_their_own(tmp_path: Path) -> None:
    often = tracer(tmp_path, log_frequency=2)
    for _ in range(5):
        traced(often)
    assert [ids(tmp_path / f"trace.{i}") for i in (0, 1)] == [[1, 2], [3, 4]]
    often.close()
    assert ids(tmp_path / "trace.2") == [5]


def test_settings_are_laid_over_one_another(tmp_path: Path) -> None:
    layers = tracer(tmp_path)
    layers.update("m", {"rate": 5, "count": 9})
    assert (layers.settings("m").rate, layers.settings("m").count) == (5, 9)
    layers.update("", {"level": (), "rate": 7})
    assert (layers.settings("m").level, layers.settings("m").rate) == ((), 5)
    assert not layers.active
    layers.update("m", {"rate": None})
    assert layers.settings("m").rate == 7
    layers.update("", {"rate": None, "level": None})
    assert layers.settings("m") == TraceSettings(("TIMESTAMPS",), 1, 9, 0, str(tmp_path / "trace"))
    layers.update("m", {"count": None})
    assert layers.settings("m") == layers.settings()
    assert layers.settings("other") == layers.settings()


def test_what_cannot_be_traced_changes_nothing(tmp_path: Path) -> None:
    layers = tracer(tmp_path)
    with pytest.raises(ServerError, match="sample rate must be non-zero"):
        layers.update("", {"rate": 0})
    assert layers.settings().rate == 1
    layers.update("", {"rate": 0, "level": ()})
    with pytest.raises(ServerError, match="trace file name is not given"):
        Tracer().update("m", {"level": ("TIMESTAMPS",)})
    with pytest.raises(ServerError, match="trace file name is not given"):
        Tracer(STAMPS)


def test_a_file_that_cannot_be_written_is_only_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Tracer(TraceSettings(("TIMESTAMPS",), 1, file=str(tmp_path / "no" / "trace")))
    assert traced(nowhere)
    assert "cannot write traces" in caplog.text
    nowhere.update("", {"log_frequency": 1})
    assert traced(nowhere)
    nowhere.close()
    assert "trace.0: No such file" in caplog.text


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({"trace_level": ["TIMESTAMPS", "TENSORS"]}, {"level": ("TIMESTAMPS", "TENSORS")}),
        ({"trace_level": ["OFF"]}, {"level": ()}),
        ({"trace_level": ["MAX"]}, {}),
        ({"trace_level": [], "trace_rate": None}, {"level": None, "rate": None}),
        (
            {"trace_rate": ["7"], "trace_count": ["-1"], "log_frequency": ["0"], "x": ["1"]},
            {"rate": 7, "count": -1, "log_frequency": 0},
        ),
        ({"trace_rate": [" 12abc"]}, {"rate": 12}),
    ],
)
def test_settings_come_as_texts(settings: Any, changes: Any) -> None:
    assert parse_changes(settings) == changes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trace_level": ["OFF", "TENSORS"]}, "Expect only one trace level 'OFF' is specified"),
        ({"trace_rate": ["x"]}, "Unable to parse 'trace_rate', got: x"),
        (
            {"trace_rate": ["-1"]},
            "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: -1",
        ),
        (
            {"trace_count": ["99999999999"]},
            "Unable to parse 'trace_count', value is out of range [ -1, 2147483647 ], got: 99999999999",
        ),
        ({"trace_count": ["-5"]}, "Unable to parse 'trace_count'. Expecting value >= -1, got: -5"),
        ({"log_frequency": ["1", "2"]}, "expect only 1 value for 'log_frequency'"),
    ],
)
def test_wrong_settings_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(ServerError) as caught:
        parse_changes(settings)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARG, message)


def test_settings_of_the_command_line() -> None:
    options = [("level", "TIMESTAMPS"), ("level", "TENSORS"), ("rate", "5"), ("rate", "6")]
    options += [("count", "3"), ("log-frequency", "2"), ("file", "f"), ("mode", "triton")]
    assert from_options(options) == TraceSettings(("TIMESTAMPS", "TENSORS"), 6, 3, 2, "f")
    assert from_options([]) == TraceSettings()
    with pytest.raises(ServerError, match="trace file name is not given"):
        from_options([("level", "TIMESTAMPS")])


@pytest.mark.parametrize(
    ("datatype", "data", "text"),
    [
        ("INT8", b"\xff\x01", "-1,1"),
        ("BOOL", b"\x00\x01", "0,1"),
        ("FP32", b"\x00\x00\x80?\xcd\xcc\xcc=", "1,0.1"),
        ("FP16", b"\x00\x00", ""),
        ("BYTES", b"\x01\x00\x00\x00a\x00\x00\x00\x00", '"a",""'),
    ],
)
def test_tensors_are_shown_as_text(datatype: str, data: bytes, text: str) -> None:
    written: list[str] = []
    trace = Trace(3, ["TENSORS"], written.append)
    trace.stamp("NEVER", 1)
    trace.tensor("TENSOR_QUEUE_INPUT", "X", datatype, (1, 2), data)
    trace.end()
    assert json.loads(written[0]) == {
        "id": 3,
        "activity": "TENSOR_QUEUE_INPUT",
        "tensor": {"name": "X", "data": text, "shape": "1,2", "dtype": datatype},
    }
