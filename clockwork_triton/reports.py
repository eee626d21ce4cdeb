"""What the composed server says of itself: log lines and the table of models."""

from __future__ import annotations

import logging

from clockwork_triton.console import ModelRow
from clockwork_triton.repository.model import State
from clockwork_triton.repository.status import VersionStatus

log = logging.getLogger(__name__)


def log_change(status: VersionStatus) -> None:
    """Logs a change of a version's state."""
    version = "" if status.version is None else f" version {status.version}"
    if status.state is State.UNAVAILABLE and not status.unloaded:
        log.error("'%s'%s is UNAVAILABLE: %s", status.name, version, status.reason)
    else:
        reason = f" ({status.reason})" if status.reason else ""
        log.info("'%s'%s is %s%s", status.name, version, status.state.value, reason)


def log_notice(model: str, text: str) -> None:
    log.warning("%s%s", f"'{model}': " if model else "", text)


def model_row(status: VersionStatus) -> ModelRow:
    """The line of a version in the table of models."""
    version = "" if status.version is None else str(status.version)
    if status.serving is None:
        return ModelRow(status.name, version, status.state.value, status.reason)
    loaded = status.serving.loaded
    return ModelRow(
        status.name,
        version,
        status.state.value,
        status.reason,
        {size: duration / 1e6 for size, duration in loaded.infer_ns.items()},
        loaded.load_ns / 1e6,
        loaded.weight_bytes,
    )
