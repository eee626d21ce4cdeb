"""Runs ONNX models as they are: the only code of serving that touches ONNX Runtime or ONNX's evaluator.

ONNX Runtime is used where it is installed (extra `[onnxruntime]`), on the calling thread alone; the reference
evaluator of the `onnx` package knows every operator and is slow.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from ctypes import string_at
from functools import partial
from math import prod
from pathlib import Path
from struct import pack, unpack_from
from typing import Any, cast

import ml_dtypes
import numpy as np
import numpy.typing as npt

from clockwork_triton.artifact.manifest import MODEL_FILENAME, Manifest
from clockwork_triton.artifact.records import RecordWriter, Tensor
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.inference import as_bytes

Array = npt.NDArray[Any]
Runner = Callable[[Sequence[str], Mapping[str, Array]], Sequence[Any]]

ONNXRUNTIME = "onnxruntime"
EVALUATOR = "onnx-reference"

_BFLOAT16 = 16
"""ONNX's number for it."""
_LONGEST_REASON = 300
_TEXTS = "OUS"
"""The kinds of numpy types that hold texts."""
_MOVERS = frozenset(
    {
        *("Concat", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Identity"),
        *("Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    }
)
"""Operators to which texts are all the same."""


class HostError(Exception):
    """The model did not take a request; the text says why."""


def installed_runtime() -> str:
    """The runtime that runs models here."""
    return ONNXRUNTIME if importlib.util.find_spec("onnxruntime") is not None else EVALUATOR


class HostModel:
    """The model of an artifact that is not compiled, in memory and ready to run."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        """Whatever the runtime raises, if it cannot read the model."""
        self._manifest = manifest
        open_model = {ONNXRUNTIME: _onnxruntime, EVALUATOR: _evaluator}[manifest.runtime]
        self._run = open_model(directory / MODEL_FILENAME)
        self._names = [tensor.name for tensor in manifest.outputs]
        # What reads no text takes any bytes: in Latin-1 each is a character, and comes back as it was.
        texts = any(tensor.dtype == "object" for tensor in manifest.inputs)
        self._encoding = "latin-1" if texts and _only_moves(directory / MODEL_FILENAME) else "utf-8"

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The outputs, in the manifest's order. HostError where there are none, or not those it promises.

        Where the model batches, the first dimension of every tensor is the number of rows.
        """
        arrays = self.compute(inputs)
        self.check(self._manifest, arrays, inputs[0].shape[0] if self._manifest.max_batch_size else 0)
        return [Tensor(array.shape, encode(array, self._encoding)) for array in arrays]

    def compute(self, inputs: Sequence[Tensor]) -> list[Array]:
        """The outputs, whatever they are. HostError if there are none."""
        specs = self._manifest.inputs
        try:
            feeds = {
                spec.name: _array(spec, tensor, self._encoding)
                for spec, tensor in zip(specs, inputs, strict=True)
            }
            return [np.asarray(output) for output in self._run(self._names, feeds)]
        except Exception as error:  # the runtimes' many error types have no common base
            raise HostError(" ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__) from error

    @staticmethod
    def check(manifest: Manifest, outputs: Sequence[Array], rows: int) -> None:
        """HostError where the outputs for so many rows are not what the manifest promises."""
        for spec, array in zip(manifest.outputs, outputs, strict=True):
            texts = array.dtype.kind in _TEXTS
            if texts != (spec.dtype == "object") or not (texts or str(array.dtype) == spec.dtype):
                raise HostError(f"output '{spec.name}' is of type {array.dtype}, not {spec.dtype}")
            promised = (rows, *spec.shape) if manifest.max_batch_size else spec.shape
            if array.ndim != len(promised) or any(
                dim not in (-1, size) for dim, size in zip(promised, array.shape, strict=True)
            ):
                raise HostError(
                    f"output '{spec.name}' has shape {list(array.shape)}, not {list(promised)}"
                    + (" for as many rows" if manifest.max_batch_size else "")
                )


def test_inputs(manifest: Manifest, rows: int) -> list[Tensor]:
    """A request of `rows` rows that the model took when the artifact was made; open dimensions are 1."""
    batch = (rows,) if manifest.max_batch_size else ()
    tensors = []
    for spec in manifest.inputs:
        shape = (*batch, *(max(dim, 1) for dim in spec.shape))
        value: Any = manifest.filler
        if spec.dtype != "object":
            value = np.dtype(spec.dtype).type(int(value) if value.isdecimal() else 0)
        tensors.append(Tensor(shape, encode(np.full(shape, value, np.dtype(spec.dtype)))))
    return tensors


def write_test_batch(view: memoryview, manifest: Manifest, batch_size: int) -> None:
    """Fills a slot with as many test requests of one row. SlotFull if it is too small."""
    writer = RecordWriter(view)
    for _ in range(batch_size):
        writer.write(test_inputs(manifest, 1))
    writer.finish_requests(batch_size)


def encode(array: Array, encoding: str = "utf-8") -> bytes:
    """The bytes of a tensor as they travel."""
    if array.dtype.kind not in _TEXTS:
        return np.ascontiguousarray(array).tobytes()
    parts: list[bytes] = []
    for element in array.ravel().tolist():
        text = element if isinstance(element, bytes) else str(element).encode(encoding)
        parts += (pack("<I", len(text)), text)
    return b"".join(parts)


def _array(spec: TensorSpec, tensor: Tensor, encoding: str) -> Array:
    data = tensor.data if isinstance(tensor.data, bytes | memoryview) else as_bytes(tensor.data)
    if spec.dtype != "object":
        return np.frombuffer(data, np.dtype(spec.dtype)).reshape(tensor.shape)
    elements = np.empty(int(np.prod(tensor.shape, dtype=np.int64)), object)
    position = 0
    for index in range(len(elements)):
        (length,) = unpack_from("<I", data, position)
        position += 4
        try:
            elements[index] = str(data[position : position + length], encoding)
        except UnicodeDecodeError as error:
            raise HostError(f"element {index} of input '{spec.name}' is not UTF-8") from error
        position += length
    return elements.reshape(tensor.shape)


def _only_moves(path: Path) -> bool:
    """Whether the model neither reads texts nor has any of its own."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    has_texts = any(tensor.data_type == onnx.TensorProto.STRING for tensor in graph.initializer)
    return not has_texts and all(node.op_type in _MOVERS and not node.domain for node in graph.node)


def _onnxruntime(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # It keeps a tensor's size as the pattern of the next one: with shapes that change, memory only grows.
    options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if any(tensor.type == "tensor(bfloat16)" for tensor in (*session.get_inputs(), *session.get_outputs())):
        return partial(_run_with_values, session)
    return lambda names, feeds: list(session.run(list(names), dict(feeds)))


def _run_with_values(session: Any, names: Sequence[str], feeds: Mapping[str, Array]) -> list[Array]:
    """ONNX Runtime takes no bfloat16 from numpy and gives none to it: its values are as bytes here."""
    import onnxruntime

    values = {}
    for name, array in feeds.items():
        if array.dtype == ml_dtypes.bfloat16:
            raw = np.ascontiguousarray(array).view(np.uint16)
            values[name] = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, _BFLOAT16)
        else:
            values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
    return [_from_value(value) for value in session.run_with_ort_values(list(names), values)]


def _from_value(value: Any) -> Array:
    if value.element_type() != _BFLOAT16:
        array: Array = value.numpy()
        return array
    shape = value.shape()
    data = string_at(value.data_ptr(), 2 * prod(shape))
    numbers: Array = np.frombuffer(data, ml_dtypes.bfloat16)
    return cast(Array, numbers.reshape(shape))


def _evaluator(path: Path) -> Runner:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(str(path))
    return lambda names, feeds: list(evaluator.run(list(names), dict(feeds)))
