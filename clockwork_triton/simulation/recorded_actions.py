"""What an action log says of devices and of the ways to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from clockwork_triton.controller.specs import Estimate
from clockwork_triton.simulation.moments import Moments
from clockwork_triton.simulation.network import RecordedNetwork
from clockwork_triton.simulation.toml_table import ExperimentError


@dataclass(frozen=True, slots=True)
class RecordedAction:
    """A row of the log. `batch_size` is 0 for a LOAD, `requests` 0 also for the INFER of a calibration;
    `known_ns`: when the server knew its result."""

    kind: str
    worker_id: str
    model: str
    batch_size: int
    requests: int
    sent_ns: int
    received_ns: int
    begin_ns: int
    end_ns: int
    known_ns: int
    pages: int

    @staticmethod
    def of(row: Mapping[str, str]) -> RecordedAction:
        """ValueError if a cell makes no sense."""
        return RecordedAction(
            row["kind"],
            row["worker_id"],
            row["model"],
            int(row["batch_size"]),
            int(row["requests"]),
            int(row["earliest_ns"]),
            int(row["received_ns"]),
            int(row["begin_ns"]),
            int(row["end_ns"]),
            int(row["t_ns"]),
            int(row["pages"]),
        )


class RecordedActions:
    """The LOADs and INFERs of a log that succeeded, in its order."""

    def __init__(self, rows: Sequence[Mapping[str, str]]) -> None:
        self._done = [RecordedAction.of(row) for row in rows if row["status"] == "OK"]
        self._actions = [action for action in self._done if action.kind != "UNLOAD"]

    def durations(self, names: Sequence[str], zero_ns: int) -> dict[tuple[int, int], Moments]:
        """By place of the model in `names` and batch size (0: LOAD): how long the device was taken, from the
        moment at which the action could have begun; times are counted from `zero_ns`."""
        place = {name: n for n, name in enumerate(names)}
        taken: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        free_ns: dict[str, int] = defaultdict(int)
        for action in sorted(self._actions, key=lambda action: action.begin_ns):
            possible_ns = max(free_ns[action.worker_id], action.received_ns)
            free_ns[action.worker_id] = action.end_ns
            counts = action.requests or action.kind == "LOAD"
            if action.model in place and counts:
                begin_ns = min(action.begin_ns, possible_ns)
                taken[place[action.model], action.batch_size].append(
                    (begin_ns - zero_ns, max(1, action.end_ns - begin_ns))
                )
        return {key: Moments(seen) for key, seen in taken.items()}

    def estimate(self, name: str) -> Estimate:
        """The medians. ExperimentError without an INFER of the model."""
        times: dict[int, list[int]] = defaultdict(list)
        for action in self._actions:
            if action.model == name:
                times[action.batch_size].append(max(1, action.end_ns - action.begin_ns))
        load_ns = int(median(times.pop(0, [1])))
        if not times:
            raise ExperimentError(f"the action log has no INFER of '{name}'")
        return Estimate(load_ns, {size: int(median(seen)) for size, seen in times.items()})

    def pages(self) -> dict[str, int]:
        """By model: by how much a LOAD raised the number of pages in use."""
        used: dict[str, int] = defaultdict(int)
        found: dict[str, int] = {}
        for action in self._done:
            if action.kind == "LOAD" and action.pages > used[action.worker_id]:
                found.setdefault(action.model, action.pages - used[action.worker_id])
            used[action.worker_id] = action.pages
        return found

    def network(self, zero_ns: int) -> RecordedNetwork:
        """The times that messages took while requests were served; times are counted from `zero_ns`."""
        served = [action for action in self._actions if action.requests]
        there = [(a.sent_ns - zero_ns, max(0, a.received_ns - a.sent_ns)) for a in served]
        back = [(a.end_ns - zero_ns, max(0, a.known_ns - a.end_ns)) for a in served]
        return RecordedNetwork(Moments(there or [(0, 0)]), Moments(back or [(0, 0)]))
