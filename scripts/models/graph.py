"""Builds ONNX graphs: nodes by their operator, weights from a seeded generator, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8

Dims = Sequence[int | str]


class Graph:
    """A graph under construction. Methods that add something return the name of the tensor it makes."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self._name = name
        # RandomState's stream is frozen by numpy's policy; that of the newer generators is not.
        self._random = np.random.RandomState(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._weights: dict[str, np.ndarray[Any, Any]] = {}

    def input(self, name: str, dims: Dims, dtype: int = TensorProto.FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(dims)))
        return name

    def output(self, tensor: str, name: str, dims: Dims, dtype: int = TensorProto.FLOAT) -> str:
        """Makes a tensor an output and renames it."""
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [name if other == tensor else other for other in names]
        self._outputs.append(helper.make_tensor_value_info(name, dtype, list(dims)))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        return self.weight(f"constant_{len(self._weights)}", np.asarray(value, dtype))

    def weight(self, name: str, value: np.ndarray[Any, Any]) -> str:
        assert name not in self._weights
        self._weights[name] = value
        return name

    def random(self, name: str, shape: Sequence[int], scale: float) -> str:
        """Normally distributed weights with the standard deviation `scale`."""
        return self.weight(name, (self._random.standard_normal(shape) * scale).astype(np.float32))

    def he(self, name: str, shape: Sequence[int]) -> str:
        """He-scaled convolution or dense weights; the first dimension is the outputs'."""
        return self.random(name, shape, float(np.sqrt(2.0 / np.prod(shape[1:]))))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output."""
        return self.ops(kind, *inputs, count=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """A node with several outputs."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        outputs = [name] if count == 1 else [f"{name}_{index}" for index in range(count)]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
        return outputs

    def conv(
        self, x: str, name: str, channels: tuple[int, int], size: int, *, groups: int = 1, **attributes: Any
    ) -> str:
        """Convolution with bias; `channels` in and out, a square kernel of `size`."""
        weight = self.he(f"{name}_weight", (channels[1], channels[0] // groups, size, size))
        bias = self.random(f"{name}_bias", (channels[1],), 0.1)
        return self.op("Conv", x, weight, bias, kernel_shape=[size, size], group=groups, **attributes)

    def dense(self, x: str, name: str, features: tuple[int, int], gain: float = 1.0) -> str:
        """x @ W + b over the last dimension; `features` in and out."""
        weight = self.random(f"{name}_weight", features, gain * float(np.sqrt(1.0 / features[0])))
        return self.op("Add", self.op("MatMul", x, weight), self.random(f"{name}_bias", (features[1],), 0.02))

    def layer_norm(self, x: str, name: str, features: int) -> str:
        scale = 1 + self._random.uniform(-0.1, 0.1, features)
        return self.op(
            "LayerNormalization",
            x,
            self.weight(f"{name}_scale", scale.astype(np.float32)),
            self.random(f"{name}_bias", (features,), 0.02),
            axis=-1,
            epsilon=1e-5,
        )

    def gelu(self, x: str) -> str:
        """The exact form: x * (1 + erf(x / sqrt 2)) / 2."""
        inner = self.op("Erf", self.op("Div", x, self.constant(np.sqrt(2.0))))
        return self.op(
            "Mul", self.op("Mul", x, self.op("Add", inner, self.constant(1.0))), self.constant(0.5)
        )

    def model(self) -> onnx.ModelProto:
        """The finished model, checked."""
        weights = [numpy_helper.from_array(value, name) for name, value in self._weights.items()]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="clockwork_triton",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
