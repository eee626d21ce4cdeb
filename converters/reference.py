"""What an ONNX model is meant to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from onnx.reference import ReferenceEvaluator

from converters.source import Array, read_model

Runner = Callable[[Mapping[str, Array]], list[Array]]


class ReferenceFailed(Exception):
    """No reference can run the model on these inputs; the text holds each one's reason."""


class Reference:
    """ONNX Runtime where it is installed and knows the model, else ONNX's own evaluator, which is slow.

    One that refuses an input is not replaced by the other: the evaluator, for one, wraps some indices that
    are out of range. numpy cannot hand bfloat16 to ONNX Runtime.
    """

    def __init__(self, path: Path, outputs: list[str]) -> None:
        self._path = path
        self._outputs = outputs
        self._runner: Runner | None = None
        self.name = ""

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs asked for. ReferenceFailed if there are none."""
        if self._runner is None:
            self._runner = self._choose(any(str(array.dtype) == "bfloat16" for array in feeds.values()))
        try:
            return [np.asarray(output) for output in self._runner(feeds)]
        except Exception as error:  # the libraries' many error types have no common base
            raise ReferenceFailed(f"{self.name}: {str(error).strip()[:300]}") from error

    def _choose(self, takes_bfloat16: bool) -> Runner:
        makers = {"onnxruntime": _onnxruntime, "onnx.reference": _evaluator}
        reasons = []
        for self.name, make in makers.items():
            if self.name == "onnxruntime" and takes_bfloat16:
                continue
            try:
                return make(self._path, self._outputs)
            except ModuleNotFoundError:
                continue
            except Exception as error:  # as above
                reasons.append(f"{self.name}: {str(error).strip()[:300]}")
        raise ReferenceFailed("; ".join(reasons))


def _onnxruntime(path: Path, outputs: list[str]) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Prepacked weights would be a second copy in memory.
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda feeds: list(session.run(outputs, dict(feeds)))


def _evaluator(path: Path, outputs: list[str]) -> Runner:
    evaluator = ReferenceEvaluator(read_model(path))
    return lambda feeds: list(evaluator.run(outputs, dict(feeds)))
