"""A table of a TOML file that says where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ExperimentError(ValueError):
    """The description of an experiment makes no sense; the message says where."""


class Table:
    """A TOML table that knows its place and what of it has been read."""

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        self._place = place
        self._values = dict(values)

    def get(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """The value and, the table being done with it, no second time. ExperimentError if it is missing (and
        there is no default) or of another kind."""
        value = self._values.pop(key, default)
        if value is None:
            raise ExperimentError(f"{self._place}: '{key}' is missing")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ExperimentError(f"{self._place}: '{key}' cannot be {value!r}")
        return value

    def number(self, key: str, default: float | None = None, least: float = 0.0) -> float:
        value = float(self.get(key, (int, float), default))
        if value < least:
            raise ExperimentError(f"{self._place}: '{key}' must be at least {least:g}")
        return value

    def whole(self, key: str, default: int | None = None, least: int = 0) -> int:
        value: int = self.get(key, int, default)
        if value < least:
            raise ExperimentError(f"{self._place}: '{key}' must be at least {least}")
        return value

    def table(self, key: str) -> Table:
        return Table(f"{self._place} [{key}]", self.get(key, dict, {}))

    def tables(self, key: str) -> list[Table]:
        rows = self.get(key, list, [])
        return [Table(f"{self._place} [[{key}]] {n}", row) for n, row in enumerate(rows, 1)]

    def has(self, key: str) -> bool:
        return key in self._values

    def fail(self, message: str) -> ExperimentError:
        return ExperimentError(f"{self._place}: {message}")

    def done(self) -> None:
        if self._values:
            raise ExperimentError(f"{self._place}: unknown key '{next(iter(self._values))}'")
