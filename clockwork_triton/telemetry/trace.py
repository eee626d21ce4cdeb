"""The trace of one request, in the JSON that Triton's own trace tools read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from clockwork_triton.inference import InferenceAnswer


class Trace:
    """Collects what happened to a request; `end` hands it to `collect`, once.

    Times are nanoseconds on the monotonic clock.
    """

    def __init__(
        self,
        number: int,
        levels: Sequence[str],
        collect: Callable[[str], None],
    ) -> None:
        self.number = number
        self.timestamps = "TIMESTAMPS" in levels
        self.tensors = "TENSORS" in levels
        self._collect = collect
        self._entries: list[str] = []
        self._ended = False

    def begin(self, model: str, version: int, request_id: str) -> None:
        facts: dict[str, object] = {"id": self.number, "model_name": model, "model_version": version}
        if request_id:
            facts["request_id"] = request_id
        self._add(facts)

    def stamp(self, name: str, time_ns: int) -> None:
        if self.timestamps:
            self._add({"id": self.number, "timestamps": [{"name": name, "ns": time_ns}]})

    def stamp_stages(self, arrival_ns: int, answer: InferenceAnswer) -> None:
        """The stages of an execution, worked out from their durations."""
        time_ns = arrival_ns + answer.queue_ns
        self.stamp("COMPUTE_START", time_ns)
        for name, duration in (
            ("COMPUTE_INPUT_END", answer.input_ns),
            ("COMPUTE_OUTPUT_START", answer.infer_ns),
            ("COMPUTE_END", answer.output_ns),
        ):
            time_ns += duration
            self.stamp(name, time_ns)

    def tensor(self, activity: str, name: str, datatype: str, shape: Sequence[int], data: bytes) -> None:
        """`activity`: TENSOR_QUEUE_INPUT, TENSOR_BACKEND_INPUT or TENSOR_BACKEND_OUTPUT."""
        if self.tensors:
            tensor = {
                "name": name,
                "data": tensor_text(datatype, data),
                "shape": ",".join(map(str, shape)),
                "dtype": datatype,
            }
            self._add({"id": self.number, "activity": activity, "tensor": tensor})

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._collect(",".join(self._entries))

    def _add(self, entry: object) -> None:
        self._entries.append(json.dumps(entry, separators=(",", ":")))


def tensor_text(datatype: str, data: bytes) -> str:
    """The elements with commas between them. FP16 and BF16 have no text in Triton's traces."""
    if datatype in ("FP16", "BF16"):
        return ""
    if datatype == "BYTES":
        return ",".join(f'"{element.decode(errors="replace")}"' for element in _elements(data))
    values = np.frombuffer(data, WIRE_TO_NUMPY[datatype])
    if datatype == "BOOL":
        values = values.astype(np.uint8)
    whole = values.dtype.kind != "f"
    return ",".join(str(value) if whole else f"{value:g}" for value in values.tolist())


def _elements(data: bytes) -> list[bytes]:
    elements = []
    position = 0
    while position + 4 <= len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        elements.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    return elements
