"""Which models ensembles are made of, as far as they have asked for them."""

from __future__ import annotations


class Requirements:
    """By name. An ensemble may be made of ensembles, but not of itself."""

    def __init__(self) -> None:
        self._of: dict[str, set[str]] = {}

    def forget(self, ensemble: str) -> None:
        """Before it asks anew."""
        self._of.pop(ensemble, None)

    def add(self, ensemble: str, model: str) -> bool:
        """False if the ensemble would be made of itself."""
        self._of.setdefault(ensemble, set()).add(model)
        seen: set[str] = set()
        left = [model]
        while left:
            name = left.pop()
            if name == ensemble:
                return False
            seen.add(name)
            left += self._of.get(name, set()) - seen
        return True
