"""Where a version of a model stands, with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.loader import LoadedModel
from clockwork_triton.repository.model import ServedModel, State
from clockwork_triton.repository.plan import PreparedVersion

UNLOADED = "unloaded"


@dataclass(frozen=True)
class Serving:
    """A version that can be served. `key` is equal for two of them if the one may stand for the other."""

    key: object
    prepared: PreparedVersion
    loaded: LoadedModel
    served: ServedModel


@dataclass(frozen=True)
class VersionStatus:
    """`version` None: the model as a whole, where none of its versions could be tried.

    `serving` is set while READY and UNLOADING. A READY version has a reason when a newer one failed.
    """

    name: str
    version: int | None
    state: State
    reason: str = ""
    serving: Serving | None = None

    @property
    def unloaded(self) -> bool:
        return self.state is State.UNAVAILABLE and self.reason == UNLOADED


@dataclass(frozen=True)
class Failure:
    """A version, or with `version` None a model, that could not be loaded."""

    name: str
    version: int | None
    error: ServerError

    @property
    def reason(self) -> str:
        """As the index gives it: for a version with the kind of the error first, as Triton does."""
        if self.version is None:
            return self.error.message
        return f"{_KINDS[self.error.code]}: {self.error.message}"


_KINDS = {
    Code.INVALID_ARG: "Invalid argument",
    Code.NOT_FOUND: "Not found",
    Code.UNAVAILABLE: "Unavailable",
    Code.UNSUPPORTED: "Unsupported",
    Code.INTERNAL: "Internal",
    Code.ALREADY_EXISTS: "Already exists",
    Code.CANCELLED: "Cancelled",
    Code.UNKNOWN: "Unknown",
}
