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
    """ONNX Runtime where it is installed and runs the model, else ONNX's own evaluator, which is slow."""

    def __init__(self, path: Path, outputs: list[str]) -> None:
        self._makers: list[tuple[str, Callable[[], Runner]]] = [
            ("onnxruntime", lambda: _onnxruntime(path, outputs)),
            ("onnx.reference", lambda: _evaluator(path, outputs)),
        ]
        self._runners: dict[str, Runner] = {}

    def run(self, feeds: Mapping[str, Array]) -> tuple[str, list[Array]]:
        """The reference's name and the outputs asked for. ReferenceFailed if none can."""
        reasons = []
        for name, make in self._makers:
            try:
                runner = self._runners.get(name) or make()
                self._runners[name] = runner
                return name, [np.asarray(output) for output in runner(feeds)]
            except ModuleNotFoundError:
                continue
            except Exception as error:  # the library's many error types have no common base
                reasons.append(f"{name}: {str(error).strip()[:300]}")
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
