"""Checks requests against a model: quickly when they are right, in Triton's order and words when not."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple, cast

from clockwork_triton.errors import Code, ExecutionError
from clockwork_triton.frontend.refusal import refuse
from clockwork_triton.frontend.request import InferRequest, OutputTensor, ResponseLayout
from clockwork_triton.frontend.shapes import TensorRule, format_shape, tensor_rules
from clockwork_triton.frontend.strings import strings_fault
from clockwork_triton.inference import Buffer, InputData
from clockwork_triton.repository.model import ServedModel

_MAX_LAYOUTS = 256


class Selection(NamedTuple):
    """A response's layout, and the places of its tensors among the artifact's outputs."""

    layout: ResponseLayout
    indices: tuple[int, ...]


class CheckedRequest(NamedTuple):
    """`inputs` in the artifact's order; `rows` is 1 where the model does not batch. `shapes`: theirs, where
    the model is not compiled."""

    rows: int
    inputs: tuple[InputData, ...]
    selection: Selection
    shapes: tuple[tuple[int, ...], ...] | None = None


class RequestChecker:
    """Everything that can be worked out once about a model's requests.

    `check` takes one pass over a request that is in order; at the first doubt it hands over to `refuse`,
    which goes through the checks one by one to find the error that Triton would have answered.
    """

    def __init__(self, model: ServedModel) -> None:
        self.model = model
        self.inputs = tensor_rules(model.inputs, model.config.input)
        self.outputs = tensor_rules(model.outputs, model.config.output)
        self._rules = {rule.name: rule for rule in self.inputs}
        self._output_rules = {rule.name: rule for rule in self.outputs}
        self.text_inputs = frozenset(rule.index for rule in self.inputs if rule.datatype == "BYTES")
        self._compiled = model.runtime == "tvm"
        self._batches = model.max_batch_size > 0
        self._selections: dict[tuple[int, tuple[str, ...]], Selection] = {}

    def check(self, request: InferRequest) -> CheckedRequest:
        """ServerError INVALID_ARG where the model cannot take the request."""
        checked = self._accept(request)
        if checked is None:
            refuse(self.model, self.inputs, self.outputs, request)
        return checked

    def _accept(self, request: InferRequest) -> CheckedRequest | None:
        """None where something is wrong."""
        if len(request.inputs) != len(self.inputs):
            return None
        rows = 0 if self._batches else 1
        data: list[InputData | None] = [None] * len(self.inputs)
        for name, datatype, shape, content in request.inputs:
            rule = self._rules.get(name)
            if rule is None or datatype != rule.datatype or data[rule.index] is not None:
                return None
            if self._batches:
                if not shape or shape[0] != (rows or shape[0]):
                    return None
                if shape[1:] != rule.dims and not (rule.open and rule.takes(shape[1:])):
                    return None
                rows = shape[0]
                if not 1 <= rows <= self.model.max_batch_size:
                    return None
            elif shape != rule.dims and not (rule.open and rule.takes(shape)):
                return None
            if rule.row_bytes is None:
                if not _holds(rule, shape, content):
                    return None
            elif len(content) != rows * rule.row_bytes:
                return None
            data[rule.index] = content
        selection = self._selections.get((rows, request.outputs)) or self._select(rows, request.outputs)
        if selection is None:
            return None
        # As many tensors as there are inputs, no two the same: every place is filled.
        inputs = cast(tuple[InputData, ...], tuple(data))
        return CheckedRequest(rows, inputs, selection, None if self._compiled else self._shapes(request))

    def _shapes(self, request: InferRequest) -> tuple[tuple[int, ...], ...]:
        """Of the inputs, in the artifact's order, as the model sees them."""
        shapes: list[tuple[int, ...]] = [()] * len(self.inputs)
        for tensor in request.inputs:
            rule = self._rules[tensor.name]
            batch = tensor.shape[:1] if self._batches else ()
            seen = self.model.seen_shapes.get(tensor.name)
            shapes[rule.index] = tensor.shape if seen is None else (*batch, *seen)
        return tuple(shapes)

    def _select(self, rows: int, names: tuple[str, ...]) -> Selection | None:
        if len(set(names)) != len(names) or not self._output_rules.keys() >= set(names):
            return None
        chosen = [self._output_rules[name] for name in names] if names else self.outputs
        layout = ResponseLayout(
            self.model.name,
            str(self.model.version),
            tuple(OutputTensor(rule.name, rule.datatype, self._shape(rule, rows)) for rule in chosen),
        )
        selection = Selection(layout, tuple(rule.index for rule in chosen))
        if len(self._selections) >= _MAX_LAYOUTS:
            # Clients choose the key: without a bound one of them could fill the memory.
            self._selections.clear()
        self._selections[rows, names] = selection
        return selection

    def _shape(self, rule: TensorRule, rows: int) -> tuple[int, ...]:
        return (rows, *rule.dims) if self._batches else rule.dims


def fill_layout(selection: Selection, shapes: Sequence[tuple[int, ...]]) -> ResponseLayout:
    """The layout of an answer whose tensors turned out to have these shapes, of every output of the model.

    ExecutionError where one has not as many elements as the configuration promises.
    """
    layout = selection.layout
    tensors = []
    changed = False
    for tensor, index in zip(layout.tensors, selection.indices, strict=True):
        if -1 in tensor.shape:
            tensors.append(tensor._replace(shape=shapes[index]))
            changed = True
            continue
        if prod(tensor.shape) != prod(shapes[index]):
            raise ExecutionError(
                Code.INTERNAL,
                f"output '{tensor.name}' of model '{layout.model_name}' has shape "
                f"{format_shape(shapes[index])}, its configuration promises {format_shape(tensor.shape)}",
            )
        tensors.append(tensor)
    return ResponseLayout(layout.model_name, layout.model_version, tuple(tensors)) if changed else layout


def _holds(rule: TensorRule, shape: tuple[int, ...], content: InputData) -> bool:
    if rule.datatype == "BYTES":
        return not strings_fault(cast(Buffer, content), prod(shape))
    return len(content) == rule.bytes_of(shape)
