"""What the data plane works out once about a model that is READY."""

from __future__ import annotations

from collections.abc import Callable

from clockwork_triton.frontend.sequences import Sequences
from clockwork_triton.frontend.validation import RequestChecker
from clockwork_triton.repository.index import ModelIndex
from clockwork_triton.repository.model import ServedModel
from clockwork_triton.telemetry.statistics import ModelStatistics, Statistics

_SPARE = 16


class PreparedModel:
    """A model with its checker, its counters, its queue policies and the rows one inference can hold.

    `pending`: requests that have been accepted and not yet answered. `sequences`: those under way, of a model
    that knows of them.
    """

    __slots__ = ("cached", "checker", "largest", "pending", "queue", "sequences", "served", "statistics")

    def __init__(
        self,
        served: ServedModel,
        statistics: ModelStatistics,
        server_budget_ns: int | None,
        clock: Callable[[], int],
    ) -> None:
        self.served = served
        self.statistics = statistics
        self.checker = RequestChecker(served)
        self.queue = served.queue.within(server_budget_ns)
        self.cached = served.config.response_cache.enable and served.sequence is None
        self.sequences: Sequences | None = None
        if served.sequence is not None:
            self.sequences = Sequences(served.sequence, served.name, served.max_batch_size > 0, clock)
        self.largest = max(served.batch_sizes, default=max(1, served.max_batch_size))
        self.pending = 0


class PreparedModels:
    """Prepared models by model id, made when first asked for and dropped some time after they are retired."""

    def __init__(
        self,
        index: ModelIndex,
        statistics: Statistics,
        server_budget_ns: int | None,
        clock: Callable[[], int],
    ) -> None:
        self._clock = clock
        self._index = index
        self._statistics = statistics
        self._server_budget_ns = server_budget_ns
        self._models: dict[int, PreparedModel] = {}

    def lookup(self, name: str, version: str) -> PreparedModel:
        """ServerError as ModelIndex.lookup."""
        served = self._index.lookup(name, version)
        return self._models.get(served.model_id) or self._prepare(served)

    def served(self) -> list[PreparedModel]:
        return [self._models.get(m.model_id) or self._prepare(m) for m in self._index.served()]

    def _prepare(self, served: ServedModel) -> PreparedModel:
        ready = {model.model_id for model in self._index.served()}
        if len(self._models) > len(ready) + _SPARE:
            self._models = {key: model for key, model in self._models.items() if key in ready}
        statistics = self._statistics.of(served.name, served.version)
        model = PreparedModel(served, statistics, self._server_budget_ns, self._clock)
        self._models[served.model_id] = model
        return model
