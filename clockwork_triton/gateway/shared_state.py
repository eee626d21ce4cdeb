"""What all front ends must know: models, regions of shared memory, how to log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from clockwork_triton.errors import ServerError
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.gateway.table import write_table
from clockwork_triton.repository.model import ServedModel
from clockwork_triton.telemetry.logs import LogSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SharedState:
    """`models`: see `write_table`. `regions`: name, key, offset and size of each. `log`: the settings that
    clients may change."""

    models: bytes
    regions: tuple[tuple[str, str, int, int], ...]
    log: Mapping[str, object]

    @staticmethod
    def of(
        ready: Mapping[tuple[str, str], ServedModel], memory: SharedMemory, settings: LogSettings
    ) -> SharedState:
        regions = tuple((r.name, r.key, r.offset, r.byte_size) for r in memory.status())
        changeable = {name: value for name, value in asdict(settings).items() if name != "file"}
        return SharedState(write_table(ready), regions, changeable)

    def share_regions(self, memory: SharedMemory) -> None:
        """Has `memory` hold these regions and no others. One whose object is gone cannot be had any more."""
        there = {(r.name, r.key, r.offset, r.byte_size) for r in memory.status()}
        for name, *_ in there - set(self.regions):
            memory.unregister(name)
        for region in set(self.regions) - there:
            try:
                memory.register(*region)
            except ServerError as error:
                log.warning("a region that is registered cannot be had here: %s", error.message)
