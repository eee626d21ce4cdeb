"""A device is held against what its artifact should compute."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.inference import Done, InferenceAnswer, InferenceCall, Moments
from clockwork_triton.verification import by_engine, verify

Array = np.ndarray
WIDTH = 5
SIZES = (2, 4, 7)
INPUTS = np.linspace(-1, 1, 2 * WIDTH, dtype=np.float32).reshape(2, WIDTH)
EXPECTATION = Expectation((INPUTS,), (2 * INPUTS,), (1e-3,), "onnxruntime")


class Device:
    """An engine on which a model computes `function(rows)`. `sizes`: of the batches it was asked for."""

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self._function = function
        self.sizes: list[int] = []
        self.scheduled: list[int] = []

    def submit(self, call: InferenceCall, done: Done) -> int:
        assert (call.model_id, call.deadline_ns) == (7, None)
        (data,) = call.inputs
        assert isinstance(data, bytes)
        x = np.frombuffer(data, np.float32).reshape(-1, WIDTH)
        assert call.rows == len(x)
        self.sizes.append(call.rows)
        outcome = self._answer(x)
        asyncio.get_running_loop().call_soon(done, outcome)
        return len(self.sizes)

    def _answer(self, x: Array) -> InferenceAnswer | ServerError:
        try:
            output = self._function(x).astype(np.float32).tobytes()
        except RuntimeError as error:
            return ServerError(Code.INTERNAL, str(error))
        return InferenceAnswer((output,), 1, len(x), 0, 0, 0, 0, Moments(0, 0, 0, 0, 0))

    def cancel(self, number: int) -> None:
        raise AssertionError

    def up(self) -> bool:
        return True

    def queued(self, model_id: int, priority: int) -> int:
        return 0


def verified(function: Callable[[Array], Array]) -> tuple[float, Device]:
    device = Device(function)
    tensors = (TensorSpec("x", "float32", (WIDTH,)),)
    variants = dict.fromkeys(SIZES)
    outputs = (TensorSpec("y", "float32", (WIDTH,)),)
    manifest = Manifest("m", "t", 7, tensors, outputs, 1, (), variants, {})  # type: ignore[arg-type]
    return asyncio.run(
        verify(by_engine(device, 7, manifest, device.scheduled.append), manifest, EXPECTATION, "cuda-toy-1")
    ), device


def test_what_computes_the_same_is_found_right_at_every_size() -> None:
    found, device = verified(lambda x: 2 * x * (1 + 1e-4))
    assert found == pytest.approx(1e-4, rel=0.01)
    assert device.sizes == device.scheduled == [2, 2, 2, 4, 2, 2, 2, 2, 7]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: 2.01 * x,
            "on cuda-toy-1 the compiled model 'm' disagrees with onnxruntime: "
            "output 'y' differs by 5.0e-03 of its scale (1e-03 is allowed)",
        ),
        (lambda x: x * np.nan, "differs by inf of its scale"),
        (
            lambda x: 2 * x + (len(x) == 4),
            "disagrees with what its rows give alone in a batch of 4: output 'y' differs by",
        ),
        (
            lambda x: 2 * (x if len(x) < 7 else np.roll(x, 1, axis=0)),
            "disagrees with what its rows give alone in a batch of 7: output 'y' differs by",
        ),
    ],
    ids=["wrong", "not a number", "one size is wrong", "rows change places"],
)
def test_what_computes_something_else_is_refused_with_the_figures(
    function: Callable[[Array], Array], message: str
) -> None:
    with pytest.raises(ServerError, match=re.escape(message)):
        verified(function)


def test_a_device_that_fails_is_heard() -> None:
    def fail(_: Array) -> Array:
        raise RuntimeError("the device failed")

    with pytest.raises(ServerError, match=r"^the device failed$"):
        verified(fail)


def test_a_model_that_does_not_batch_is_asked_once(tmp_path: Path) -> None:
    tensors = (TensorSpec("x", "float32", (1, WIDTH)),)
    manifest = Manifest("m", "t", 0, tensors, tensors, 1, (), {1: None}, {})  # type: ignore[dict-item]
    expectation = Expectation((INPUTS[:1],), (INPUTS[:1],), (0.0,), "onnxruntime")
    device = Device(lambda x: x)
    assert (
        asyncio.run(
            verify(by_engine(device, 7, manifest, device.scheduled.append), manifest, expectation, "k")
        )
        == 0
    )
    assert device.sizes == [1]
