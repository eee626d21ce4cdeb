"""Small ONNX models with many outputs, converted for a GPU and run on an emulated one beside ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.manifest import Manifest
from converters import device_code
from converters.convert import convert
from converters.request import ConversionRequest
from scripts.models.graph import IR_VERSION, OPSET, Graph
from tests.cuda.emulator import EmulatedArtifact

Array = np.ndarray[Any, Any]


class Case(Graph):
    """Outputs by name are what is compared. Literal shapes: the first dimension is no batch."""

    def __init__(self) -> None:
        super().__init__("case", seed=3)
        self._values: dict[str, Array] = {}
        self._numbers = np.random.default_rng(5)
        self.names: list[str] = []

    def data(self, name: str, *shape: int) -> str:
        self._values[name] = self._numbers.standard_normal(shape).astype(np.float32)
        return self.input(name, shape)

    def given(self, name: str, value: Array) -> str:
        self._values[name] = value
        return self.input(name, value.shape, onnx.helper.np_dtype_to_tensor_dtype(value.dtype))

    def indices(self, name: str, limit: int, *shape: int) -> str:
        self._values[name] = self._numbers.integers(0, limit, shape)
        return self.input(name, shape, TensorProto.INT64)

    def show(self, name: str, tensor: str, dtype: int = TensorProto.FLOAT) -> None:
        """Makes the tensor an output, by way of a node of its own so that others may use it too."""
        self.names.append(name)
        self._outputs.append(onnx.helper.make_tensor_value_info(name, dtype, None))
        self._nodes.append(onnx.helper.make_node("Identity", [tensor], [name]))

    def model(self) -> onnx.ModelProto:
        """The shapes of outputs are left for ONNX to find."""
        weights = [numpy_helper.from_array(value, name) for name, value in self._weights.items()]
        graph = onnx.helper.make_graph(self._nodes, "case", self._inputs, self._outputs, weights)
        opsets = [onnx.helper.make_opsetid("", OPSET)]
        return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def differences(
        self,
        directory: Path,
        monkeypatch: pytest.MonkeyPatch,
        precision: str,
        arch: str = "sm_80",
    ) -> dict[str, float]:
        """By output, relative to its largest magnitude."""
        found = self.answers(directory, monkeypatch, precision, arch)
        return {name: difference(expected, actual) for name, (actual, expected) in found.items()}

    def answers(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, precision: str = "fp32", arch: str = "sm_80"
    ) -> dict[str, tuple[Array, Array]]:
        """By output, ours and ONNX Runtime's. Asserts that the order of threads does not matter."""
        monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"")
        manifest = self.converted(directory, precision, arch)
        inputs = [self._values[tensor.name] for tensor in manifest.inputs]
        actual = EmulatedArtifact(directory / "artifact").run(1, inputs)
        reversed_ = EmulatedArtifact(directory / "artifact", reverse=True).run(1, inputs)
        for name, one, other in zip(self.names, actual, reversed_, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
        session = onnxruntime.InferenceSession(directory / "model.onnx", providers=["CPUExecutionProvider"])
        expected = session.run(self.names, self._values)
        for name, have, want in zip(self.names, actual, expected, strict=True):
            assert have.shape == want.shape, name
        return dict(zip(self.names, zip(actual, expected, strict=True), strict=True))

    def converted(self, directory: Path, precision: str, arch: str) -> Manifest:
        onnx.save(self.model(), directory / "model.onnx")
        (directory / "artifact").mkdir()
        request = ConversionRequest(
            directory / "model.onnx", "case", 0, (1,), target="cuda", arch=arch, precision=precision
        )
        return convert(request, directory / "artifact", {}, lambda progress: None)
