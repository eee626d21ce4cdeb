"""The READY models, as they are told to front ends.

Between processes of one server, over sockets that nobody else has: pickles do no harm here.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tritonclient.grpc import model_config_pb2

from clockwork_triton.errors import Code, NotHere
from clockwork_triton.repository.model import IndexEntry, ServedModel


def write_table(ready: Mapping[tuple[str, str], ServedModel]) -> bytes:
    """`ready`: by name and version as clients write it, "" for the one that serves those who name none.

    What needs more than its own tensors, which lie in a slot in known places, is left to the controller's
    process: models that are not compiled, sequences and ensembles.
    """
    ready = {key: model for key, model in ready.items() if _simple(model)}
    models = {model.model_id: model for model in ready.values()}
    plain = {
        number: (replace(model, config=None), model.config.SerializeToString())
        for number, model in models.items()
    }
    return pickle.dumps((plain, {key: model.model_id for key, model in ready.items()}))


def _simple(model: ServedModel) -> bool:
    return model.runtime == "tvm" and model.sequence is None and model.ensemble is None


class ModelTable:
    """A ModelIndex of what the controller's process has told last."""

    def __init__(self) -> None:
        self._ready: dict[tuple[str, str], ServedModel] = {}
        self._models: dict[int, ServedModel] = {}

    def read(self, content: bytes) -> None:
        models, ready = pickle.loads(content)
        known = self._models
        self._models = {
            number: _whole(model, config, known.get(number)) for number, (model, config) in models.items()
        }
        self._ready = {key: self._models[number] for key, number in ready.items()}

    def by_id(self, model_id: int) -> ServedModel:
        return self._models[model_id]

    def lookup(self, name: str, version: str) -> ServedModel:
        """NotHere for everything that is not READY or not written as usual."""
        ready = self._ready.get((name, version))
        if ready is None:
            raise NotHere(Code.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return ready

    def served(self) -> Sequence[ServedModel]:
        return sorted(self._models.values(), key=lambda model: (model.name, model.version))

    def entries(self) -> Sequence[IndexEntry]:
        raise AssertionError("the index is asked for at the controller's process")

    def all_ready(self) -> bool:
        raise AssertionError("readiness is asked for at the controller's process")


def _whole(model: ServedModel, config: bytes, known: ServedModel | None) -> ServedModel:
    """A model that is known already stays the same object: much hangs on it."""
    message: Any = model_config_pb2.ModelConfig.FromString(config)
    whole = replace(model, config=message)
    return known if known == whole else whole
