"""Prepared ONNX to Relax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from converters.mended import mended
from converters.request import ConversionError
from converters.source import EXPANDED
from converters.support import check_operators


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer, given the weights as tensors so that it neither copies them nor binds them late."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        super().__init__({}, {}, keep_params_in_input=False, sanitize=False)
        self._weights = weights

    def _parse_graph_initializers(self, graph: onnx.GraphProto) -> None:
        for name, tensor in self._weights.items():
            self._nodes[name] = relax.const(tensor)
        super()._parse_graph_initializers(graph)

    def _convert_operator(self, op_name: str, inputs: Any, attributes: Any, opset: int) -> Any:
        try:
            result = mended(op_name, inputs, attributes)
            if result is not None:
                return self.bb.normalize(result)
            return super()._convert_operator(op_name, inputs, attributes, opset)
        except ConversionError:
            raise
        except Exception as error:  # TVM raises whatever its importer stumbles upon
            raise ConversionError(f"TVM cannot import operator {op_name}: {error!r}") from error


def import_model(graph: onnx.GraphProto, opset: int, weights: Mapping[str, Any]) -> tvm.IRModule:
    """A graph with static input shapes as Relax: `main` takes its inputs in order, returns its outputs.

    `weights` are TVM tensors for the names that the graph leaves open; they become constants that share
    the memory. ConversionError names what TVM cannot import.
    """
    check_operators(graph.node, onnx_frontend._get_convert_map().keys() - EXPANDED)
    try:
        return _Importer(weights).from_onnx(graph, opset)
    except ConversionError:
        raise
    except Exception as error:  # as above
        raise ConversionError(f"TVM cannot import the model: {error}") from error
