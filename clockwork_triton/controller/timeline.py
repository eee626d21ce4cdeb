"""When an executor will be free."""

from __future__ import annotations


class Timeline:
    """The actions outstanding at an executor that does one after the other, in the order they were sent.
    `total_ns`: how long they are expected to take together.

    `_planned_ns`: when they will have ended if the first takes as long as expected, `_behind_ns`: how long
    those behind it take."""

    __slots__ = ("_begin_ns", "_behind_ns", "_outstanding", "_planned_ns", "total_ns")

    def __init__(self) -> None:
        self._outstanding: dict[int, int] = {}
        self._begin_ns = 0
        self._planned_ns = 0
        self._behind_ns = 0
        self.total_ns = 0

    def __len__(self) -> int:
        return len(self._outstanding)

    def available(self, now_ns: int) -> int:
        """When everything outstanding is expected to have ended.

        A head that overruns is expected to end at any moment; what is behind it moves along.
        """
        if not self._outstanding:
            return now_ns
        overrun_ns = now_ns + self._behind_ns
        return overrun_ns if overrun_ns > self._planned_ns else self._planned_ns

    def add(self, action_id: int, expected_ns: int, start_ns: int) -> None:
        """`start_ns`: the earliest moment at which the action could start on an idle executor."""
        if not self._outstanding:
            self._begin_ns = self._planned_ns = start_ns
        else:
            self._behind_ns += expected_ns
        self._outstanding[action_id] = expected_ns
        self._planned_ns += expected_ns
        self.total_ns += expected_ns

    def remove(self, action_id: int, end_ns: int | None) -> None:
        """The action ended at `end_ns`, or (None) was not run."""
        expected_ns = self._outstanding.pop(action_id)
        self.total_ns -= expected_ns
        if end_ns is not None and end_ns > self._begin_ns:
            self._begin_ns = end_ns
        self._planned_ns = self._begin_ns + self.total_ns
        self._behind_ns = self.total_ns - next(iter(self._outstanding.values())) if self._outstanding else 0

    def head(self) -> tuple[int, int] | None:
        """The action that should be running, and when it is expected to end."""
        for action_id, expected_ns in self._outstanding.items():
            return action_id, self._begin_ns + expected_ns
        return None
