"""`ensemble_scheduling`: models whose steps are other models here, checked as Triton checks them
(core: ensemble_utils.cc)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType

from clockwork_triton.datatypes import NUMPY_TO_WIRE, WIRE_TO_NUMPY, TensorSpec
from clockwork_triton.repository.config import invalid
from clockwork_triton.repository.model import EnsemblePlan, EnsembleStep, ServedModel

# Of ensembles, which the engine knows nothing of; its own ids are positive.
_model_ids = itertools.count(-1, -1)


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the ensemble, and the model that says what it is."""

    model: str
    wire: str
    dims: tuple[int, ...]
    batches: bool

    @property
    def full(self) -> tuple[int, ...]:
        return (-1, *self.dims) if self.batches else self.dims


def new_model_id() -> int:
    """An id that no other model has."""
    return next(_model_ids)


def ensemble_plan(config: Any) -> EnsemblePlan:
    """ServerError where the steps by themselves make no ensemble."""
    name = config.name
    if not config.ensemble_scheduling.step:
        raise invalid(f"must specify 'step' for ensemble '{name}'")
    sources = {tensor.name for tensor in config.input}
    used: set[str] = set()
    for index, step in enumerate(config.ensemble_scheduling.step):
        for field in ("model_name", "input_map", "output_map"):
            if not getattr(step, field):
                raise invalid(f"must specify '{field}' in step {index} of ensemble '{name}'")
        if step.model_name == name:
            raise invalid(f"circular dependency between ensembles: '{name}' is a step of itself")
        for tensor in step.output_map.values():
            if tensor in sources:
                raise invalid(
                    f"ensemble tensor '{tensor}' can appear in an output map only once for ensemble '{name}' "
                    f"step {index}"
                )
            sources.add(tensor)
        used |= set(step.input_map.values())
    for tensor in config.input:
        if tensor.name not in used:
            raise invalid(f"ensemble input '{tensor.name}' for ensemble {name}' is not used")
    for tensor in config.output:
        if tensor.name not in sources:
            raise invalid(f"ensemble output '{tensor.name}' for ensemble {name}' is not used")
    if missing := sorted(used - sources):
        raise invalid(f"ensemble tensor '{missing[0]}' of ensemble '{name}' comes from no step")
    plan = EnsemblePlan(
        tuple(
            EnsembleStep(
                step.model_name,
                str(step.model_version) if step.model_version > 0 else "",
                dict(step.input_map),
                dict(step.output_map),
            )
            for step in config.ensemble_scheduling.step
        )
    )
    _check_order(name, plan, {tensor.name for tensor in config.input})
    return plan


def _check_order(name: str, plan: EnsemblePlan, known: set[str]) -> None:
    """ServerError where steps wait for each other."""
    left = list(plan.steps)
    while left:
        able = [step for step in left if known >= set(step.inputs.values())]
        if not able:
            raise invalid(f"the steps of ensemble '{name}' wait for each other's tensors")
        for step in able:
            known |= set(step.outputs.values())
            left.remove(step)


def check_steps(config: Any, plan: EnsemblePlan, models: Sequence[ServedModel]) -> None:
    """ServerError where the ensemble's tensors are not those of its steps; `models` in the steps' order."""
    name = config.name
    batches = config.max_batch_size > 0
    tensors = {
        io.name: _Tensor(name, _wire(io.data_type), _own_dims(io), batches)
        for io in (*config.input, *config.output)
    }
    for step, model in zip(plan.steps, models, strict=True):
        if 0 < model.max_batch_size < config.max_batch_size:
            raise invalid(
                f"ensemble {name} allows maximum batch size {config.max_batch_size}, but it contains model "
                f"{step.model} which only allows maximum batch size to be {model.max_batch_size}"
            )
        _check_names(name, step, model)
        for mapping, specs in ((step.inputs, model.inputs), (step.outputs, model.outputs)):
            for spec in specs:
                if spec.name in mapping:
                    tensor = _Tensor(
                        step.model, NUMPY_TO_WIRE[spec.dtype], spec.shape, model.max_batch_size > 0
                    )
                    known = tensors.setdefault(mapping[spec.name], tensor)
                    _check_same(name, mapping[spec.name], known, tensor)


def _check_names(name: str, step: EnsembleStep, model: ServedModel) -> None:
    inputs = {spec.name for spec in model.inputs}
    for own, tensor in step.inputs.items():
        if own not in inputs:
            raise invalid(
                f"in ensemble {name}, ensemble tensor {tensor} is mapping to non-existing input {own} in "
                f"model {step.model}"
            )
    for own in inputs:
        if own not in step.inputs:
            raise invalid(
                f"in ensemble {name}, input {own} in model {step.model} is not mapped to any ensemble tensors"
            )
    outputs = {spec.name for spec in model.outputs}
    for own, tensor in step.outputs.items():
        if own not in outputs:
            raise invalid(
                f"in ensemble {name}, ensemble tensor {tensor} is mapped from non-existing output {own} in "
                f"model {step.model}"
            )


def _check_same(name: str, tensor: str, one: _Tensor, other: _Tensor) -> None:
    prefix = f"in ensemble {name}, ensemble tensor {tensor}: "
    if one.wire != other.wire:
        raise invalid(
            f"{prefix}inconsistent data type: {_config_name(one.wire)} is inferred from model {one.model} "
            f"while {_config_name(other.wire)} is inferred from model {other.model}"
        )
    if not (_alike(one.dims, other.dims) or _alike(one.full, other.full)):
        raise invalid(
            f"{prefix}inconsistent shape: {_text(one.full)} is inferred from model {one.model} while "
            f"{_text(other.full)} is inferred from model {other.model}"
        )


def ensemble_specs(ios: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """An ensemble's tensors are as its configuration says."""
    return tuple(TensorSpec(io.name, WIRE_TO_NUMPY[_wire(io.data_type)], tuple(io.dims)) for io in ios)


def _own_dims(io: Any) -> tuple[int, ...]:
    return tuple(io.reshape.shape) if io.HasField("reshape") else tuple(io.dims)


def _wire(data_type: int) -> str:
    name = DataType.Name(data_type).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name


def _config_name(wire: str) -> str:
    return "TYPE_STRING" if wire == "BYTES" else f"TYPE_{wire}"


def _alike(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


def _text(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
