from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.errors import ServerError
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.warmup import WarmupSample, warmup_samples
from tests.compatibility import covers

INPUTS = 'max_batch_size: 4 input [ { name: "X" data_type: TYPE_FP32 dims: [ 3 ] } ]'


def samples(directory: Path, text: str, inputs: str = INPUTS) -> tuple[WarmupSample, ...]:
    return warmup_samples(parse_text(f'name: "m" {inputs} model_warmup [ {text} ]'), directory)


def sample(source: str, rows: int = 2, dims: str = "3", kind: str = "TYPE_FP32", count: int = 0) -> str:
    return (
        f'{{ name: "s" batch_size: {rows} count: {count} inputs {{ key: "X" value {{ data_type: {kind} '
        f"dims: [ {dims} ] {source} }} }} }}"
    )


def test_data_is_made_or_read(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x").write_bytes(b"123456781234")
    text = ", ".join(
        [
            sample("zero_data: true"),
            sample("random_data: true", 1),
            sample('input_data_file: "x"', 4, count=9),
        ]
    )
    zero, random, read = samples(tmp_path, text)
    assert (zero.rows, zero.count, zero.inputs, zero.shapes) == (2, 1, {"X": bytes(12)}, {"X": (3,)})
    values = np.frombuffer(random.inputs["X"], np.float32)
    assert ((values > 0) & (values < 1)).all()
    assert (read.rows, read.count, read.inputs) == (4, 9, {"X": b"123456781234"})


def test_texts_are_empty(tmp_path: Path) -> None:
    inputs = 'input [ { name: "X" data_type: TYPE_STRING dims: [ -1 ] } ]'
    (made,) = samples(tmp_path, sample("zero_data: true", 1, "2", "TYPE_STRING"), inputs)
    assert made.inputs == {"X": bytes(8)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{ name: "s" batch_size: 1 }', "must have the inputs of the model: X"),
        (sample("zero_data: true", 5), r"must have a batch size in the range \[1, 4\], got 5"),
        (sample("zero_data: true", dims="4"), "is not of the type and dims that the model has"),
        (sample("zero_data: true", kind="TYPE_INT32"), "is not of the type and dims that the model has"),
        (sample(""), "must have zero_data, random_data or an input_data_file"),
        (sample('input_data_file: "no"'), "failed to read 'no': No such file or directory"),
        (sample('input_data_file: "../config.pbtxt"'), "leads out of the model"),
    ],
)
def test_what_is_no_request_of_the_model_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ServerError, match=said):
        samples(tmp_path, text)


@covers("model_warmup", "supported", "each sample is answered before the model is READY")
def test_a_file_has_the_size_of_its_tensor(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x").write_bytes(b"1")
    with pytest.raises(ServerError, match="input 'X' takes 12 bytes, 'x' has 1"):
        samples(tmp_path, sample('input_data_file: "x"'))
