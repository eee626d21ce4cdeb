"""What clients may ask of the repository: which models there are, and which of them serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from clockwork_triton.repository.model import IndexEntry, ServedModel


class ModelIndex(Protocol):
    """The repository as the data plane sees it."""

    def lookup(self, name: str, version: str) -> ServedModel:
        """The READY version asked for; "" is the greatest that is READY.

        ServerError NOT_FOUND, UNAVAILABLE or INVALID_ARG in Triton's words
        (`Request for unknown model: ...`, `failed to get model version from ...`).
        """
        ...

    def served(self) -> Sequence[ServedModel]:
        """Every READY version."""
        ...

    def entries(self) -> Sequence[IndexEntry]:
        """Every directory of the repositories, with the state of its versions."""
        ...

    def all_ready(self) -> bool:
        """Whether every known model has a version, and every version is READY or was unloaded on purpose."""
        ...


class ModelControl(Protocol):
    """Loading and unloading by name, where the repository's mode allows it."""

    async def load(self, name: str, config: str | None = None, files: Mapping[str, bytes] = ...) -> None:
        """Brings the model to what its directory holds, and returns when it is READY.

        `config` is a ModelConfig in JSON, in place of config.pbtxt. `files`, by their path in the model's
        directory, stand in for the directory. ServerError in Triton's words.
        """
        ...

    def unload(self, name: str, dependents: bool = False) -> None:
        """Takes the model out of service at once, with `dependents` also what an ensemble is made of. An
        unknown name is no error."""
        ...
