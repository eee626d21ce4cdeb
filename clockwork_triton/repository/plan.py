"""From a directory to what the loader is asked: which versions, with what configuration, and their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton.artifact.signature import Signature
from clockwork_triton.repository.agreement import check_agreement, input_shapes, visible_specs
from clockwork_triton.repository.completion import DEFAULT_MAX_BATCH_SIZE, auto_complete, normalise
from clockwork_triton.repository.config import (
    ENSEMBLE_PLATFORM,
    find_backend,
    invalid,
    name_config,
    read_config,
)
from clockwork_triton.repository.ensemble import check_steps, ensemble_plan, ensemble_specs
from clockwork_triton.repository.fields import notices
from clockwork_triton.repository.loader import LoadedModel, ModelSource
from clockwork_triton.repository.model import ServedModel
from clockwork_triton.repository.queue_policy import QueuePolicies, queue_policies
from clockwork_triton.repository.sequence import sequence_plan
from clockwork_triton.repository.validation import validate
from clockwork_triton.repository.warmup import warmup_samples

LARGEST_LABELS_BYTES = 16 << 20


@dataclass(frozen=True)
class ConfigOptions:
    """What the command line says about configurations. `gpus`: ids of the GPUs that serve. `fallback`: what
    cannot be compiled, as open dimensions cannot, may run on a host runtime."""

    config_name: str = ""
    auto_complete: bool = True
    default_max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    gpus: frozenset[int] = frozenset()
    fallback: bool = False


@dataclass(frozen=True)
class ModelPlan:
    """A model whose configuration is sound by itself. `versions`: those to serve, ascending, at least one."""

    name: str
    directory: Path
    config: Any
    versions: tuple[int, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class PreparedVersion:
    """A version whose configuration agrees with its file."""

    source: ModelSource
    labels: Mapping[str, tuple[str, ...]]
    queue: QueuePolicies


def plan_model(
    name: str, directory: Path, present: Collection[int], options: ConfigOptions, override: Any = None
) -> ModelPlan:
    """Reads config.pbtxt (or takes `override`) and chooses among the versions `present`.

    ServerError with the reason if the configuration is unsound or leaves no version.
    """
    config = ModelConfig()
    config.CopyFrom(override if override is not None else read_config(directory, options.config_name))
    name_config(config, name)
    told = list(notices(config))
    find_backend(config, _first_version_files(directory, present))
    validate(config, options.gpus)
    if config.platform == ENSEMBLE_PLATFORM:
        ensemble_plan(config)
    sequence_plan(config)
    queue_policies(config)
    if config.version_policy.WhichOneof("policy_choice") == "specific":
        missing = sorted(set(config.version_policy.specific.versions) - set(present))
        told += [f"version {version} is specified but its directory is not present" for version in missing]
    versions = choose_versions(config.version_policy, present)
    if not versions:
        raise invalid(f"at least one version must be available under the version policy of model '{name}'")
    return ModelPlan(name, directory, config, versions, tuple(told))


def choose_versions(policy: Any, present: Collection[int]) -> tuple[int, ...]:
    """The versions that a ModelVersionPolicy serves, ascending; the default is the latest one."""
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return tuple(sorted(present))
    if choice == "specific":
        return tuple(sorted(set(policy.specific.versions) & set(present)))
    return tuple(sorted(present)[-max(policy.latest.num_versions, 1) :])


def onnx_path(plan: ModelPlan, version: int) -> Path:
    """The model file of a version; inside the directory of that name where it is one (large models)."""
    filename = _local(plan.config.default_model_filename, plan.name)
    path = plan.directory / str(version) / filename
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise invalid(f"version {version} of model '{plan.name}' has no file '{filename}'")
    return path


def prepare_version(
    plan: ModelPlan, version: int, signature: Signature, options: ConfigOptions
) -> PreparedVersion:
    """Completes the configuration from the file's tensors and checks one against the other."""
    config = ModelConfig()
    config.CopyFrom(plan.config)
    sequence = sequence_plan(config, plan.directory)
    if options.auto_complete:
        hidden = () if sequence is None else (*sequence.inputs, *sequence.outputs)
        config = auto_complete(config, signature, options.default_max_batch_size, hidden)
    normalise(config, options.gpus)
    validate(config, options.gpus)
    check_agreement(config, signature, sequence)
    shapes = dict(input_shapes(config, signature, may_be_open=options.fallback or signature.texts))
    if sequence is not None:
        shapes |= sequence.shapes
    return PreparedVersion(
        ModelSource(
            plan.name,
            version,
            onnx_path(plan, version),
            config,
            shapes,
            sequence,
            warmup_samples(config, plan.directory),
        ),
        read_labels(config, plan.directory),
        queue_policies(config),
    )


def prepare_ensemble(plan: ModelPlan, version: int) -> PreparedVersion:
    """A version of an ensemble, which has nothing to be loaded."""
    config = ModelConfig()
    config.CopyFrom(plan.config)
    normalise(config)
    return PreparedVersion(
        ModelSource(plan.name, version, plan.directory, config, {}),
        read_labels(config, plan.directory),
        queue_policies(config),
    )


def served_ensemble(prepared: PreparedVersion, model_id: int, models: Sequence[ServedModel]) -> ServedModel:
    """The ensemble as clients see it; `models`: those of its steps. ServerError if they do not fit."""
    source = prepared.source
    plan = ensemble_plan(source.config)
    check_steps(source.config, plan, models)
    return ServedModel(
        name=source.name,
        version=source.version,
        model_id=model_id,
        config=source.config,
        inputs=ensemble_specs(source.config.input),
        outputs=ensemble_specs(source.config.output),
        max_batch_size=source.config.max_batch_size,
        queue=prepared.queue,
        labels=prepared.labels,
        runtime=ENSEMBLE_PLATFORM,
        ensemble=plan,
    )


def served_model(prepared: PreparedVersion, loaded: LoadedModel) -> ServedModel:
    """The version as clients see it. ServerError if it turned out otherwise than its configuration says."""
    source = prepared.source
    own_inputs = loaded.inputs[: len(source.config.input)]
    own_outputs = loaded.outputs
    if source.sequence is not None:
        own_outputs = own_outputs[: len(own_outputs) - len(source.sequence.outputs)]
    inputs = visible_specs(source.config.input, own_inputs, source.name)
    return ServedModel(
        name=source.name,
        version=source.version,
        model_id=loaded.model_id,
        config=_told(source.config, loaded),
        inputs=inputs,
        outputs=visible_specs(source.config.output, own_outputs, source.name),
        max_batch_size=source.config.max_batch_size,
        queue=prepared.queue,
        batch_sizes=tuple(sorted(loaded.infer_ns)),
        labels=prepared.labels,
        runtime=loaded.runtime,
        seen_shapes={
            spec.name: own.shape
            for spec, own in zip(inputs, own_inputs, strict=True)
            if own.shape != spec.shape and -1 not in own.shape
        },
        memory=loaded.memory,
        sequence=source.sequence,
    )


def _told(config: Any, loaded: LoadedModel) -> Any:
    """The configuration; where the version is not compiled, clients find in it what runs it, and why."""
    if not loaded.reason:
        return config
    told = ModelConfig()
    told.CopyFrom(config)
    told.parameters["runtime"].string_value = loaded.runtime
    told.parameters["runtime_reason"].string_value = loaded.reason
    return told


def read_labels(config: Any, directory: Path) -> Mapping[str, tuple[str, ...]]:
    """By output, the lines of its label file, which lies beside config.pbtxt."""
    labels: dict[str, tuple[str, ...]] = {}
    for output in config.output:
        if not output.label_filename:
            continue
        path = directory / _local(output.label_filename, config.name)
        try:
            if path.stat().st_size > LARGEST_LABELS_BYTES:
                raise invalid(f"the label file of output '{output.name}' of '{config.name}' is too large")
            labels[output.name] = tuple(path.read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise invalid(
                f"failed to read label file '{output.label_filename}' of output '{output.name}' of model "
                f"'{config.name}': {getattr(error, 'strerror', None) or error}"
            ) from error
    return labels


def _local(filename: str, name: str) -> str:
    path = PurePosixPath(filename)
    if not filename or path.is_absolute() or ".." in path.parts or "\\" in filename or "\0" in filename:
        raise invalid(f"file name '{filename}' in the configuration of model '{name}' leads out of the model")
    return filename


def _first_version_files(directory: Path, present: Collection[int]) -> Collection[str]:
    if not present:
        return ()
    try:
        return [entry.name for entry in (directory / str(min(present))).iterdir()]
    except OSError:
        return ()
