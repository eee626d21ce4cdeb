"""Which pages of a device's memory belong to which model: the worker's check on the controller's plan."""

from __future__ import annotations

from collections.abc import Sequence


class PlacementError(Exception):
    """The pages named cannot be given to the model; the text says why."""


class Arena:
    """The pages 0 to `pages` - 1 of a device, and the models that lie in them.

    The controller decides where a model goes. Here nothing is chosen or evicted, only checked and kept.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._owner: list[int | None] = [None] * pages
        self._runs: dict[int, tuple[range, ...]] = {}

    def __contains__(self, model_id: int) -> bool:
        return model_id in self._runs

    @property
    def used(self) -> int:
        return sum(len(run) for runs in self._runs.values() for run in runs)

    def place(self, model_id: int, first_pages: Sequence[int], sizes: Sequence[int]) -> None:
        """Gives the model a run of `sizes[i]` pages from `first_pages[i]` on, for every segment i.

        PlacementError, with nothing changed, if the runs do not fit the device, each other, or the models
        that are there.
        """
        assert model_id not in self._runs
        if len(first_pages) != len(sizes):
            raise PlacementError(f"{len(first_pages)} first pages named for {len(sizes)} segments")
        runs = tuple(range(first, first + size) for first, size in zip(first_pages, sizes, strict=True))
        taken: set[int] = set()
        for run in runs:
            if run.start < 0 or run.stop > self.pages:
                raise PlacementError(f"pages {run.start} to {run.stop - 1} of a device that has {self.pages}")
            for page in run:
                owner = self._owner[page]
                if owner is not None:
                    raise PlacementError(f"page {page} belongs to model {owner}")
                if page in taken:
                    raise PlacementError(f"page {page} is named twice")
                taken.add(page)
        for page in taken:
            self._owner[page] = model_id
        self._runs[model_id] = runs

    def free(self, model_id: int) -> None:
        for run in self._runs.pop(model_id):
            for page in run:
                assert self._owner[page] == model_id
                self._owner[page] = None
        assert self.used == sum(owner is not None for owner in self._owner)
