"""What clients may change about the server besides asking for inferences: models, memory, traces, logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.repository.index import ModelControl
from clockwork_triton.telemetry.logs import FORMATS, Log
from clockwork_triton.telemetry.tracer import Tracer

# The protocol's name of a log setting -> the field of LogSettings, its type, and Triton's word for it.
_LOG_FIELDS: Mapping[str, tuple[str, type, str]] = {
    "log_info": ("info", bool, "boolean"),
    "log_warning": ("warning", bool, "boolean"),
    "log_error": ("error", bool, "boolean"),
    "log_verbose_level": ("verbose", int, "int32"),
    "log_format": ("style", str, "string"),
}


@dataclass
class Facilities:
    """`control` None: the models are not to be loaded or unloaded by clients."""

    shared_memory: SharedMemory = field(default_factory=SharedMemory)
    tracer: Tracer = field(default_factory=Tracer)
    log: Log = field(default_factory=Log)
    control: ModelControl | None = None

    async def load_model(self, name: str, config: str | None, files: Mapping[str, bytes]) -> None:
        """Returns once the model is READY. `config` is JSON in place of config.pbtxt; `files`, by their path
        in the model's directory, stand in for the whole directory. ServerError in Triton's words."""
        await self._control().load(name, config, files)

    def unload_model(self, name: str, dependents: bool = False) -> None:
        self._control().unload(name, dependents)

    def update_log(self, settings: Mapping[str, object]) -> None:
        """All of the settings or, if one is wrong, none. Unknown names are passed over, as Triton does."""
        if "log_file" in settings:
            raise ServerError(
                Code.UNSUPPORTED, "log file location can not be updated through network protocol"
            )
        changes: dict[str, object] = {}
        for name, (attribute, kind, word) in _LOG_FIELDS.items():
            if name in settings:
                value = settings[name]
                if type(value) is not kind:
                    raise ServerError(Code.INVALID_ARG, f"expect {word} for '{name}'")
                changes[attribute] = value
        if changes.get("style", FORMATS[0]) not in FORMATS:
            raise ServerError(Code.INVALID_ARG, f"invalid argument for log_format, got: {changes['style']}")
        self.log.update(changes)

    def log_settings(self) -> dict[str, bool | int | str]:
        """By the protocol's names."""
        settings = self.log.settings
        shown = {name: getattr(settings, attribute) for name, (attribute, _, _) in _LOG_FIELDS.items()}
        return {"log_file": settings.file, **shown}

    def _control(self) -> ModelControl:
        if self.control is None:
            raise ServerError(
                Code.UNAVAILABLE, "explicit model load / unload is not allowed if polling is enabled"
            )
        return self.control
