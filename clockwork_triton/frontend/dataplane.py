"""What the server answers, whatever the protocol: the one thing behind gRPC, HTTP and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from clockwork_triton.errors import QUEUE_FULL, TIMEOUT_EXPIRED, Code, ExecutionError, ServerError
from clockwork_triton.frontend.execution import Execution
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.prepared import PreparedModel, PreparedModels
from clockwork_triton.frontend.request import InferRequest, InferResponse
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.inference import InferenceAnswer, InferenceEngine
from clockwork_triton.repository.index import ModelIndex
from clockwork_triton.repository.model import IndexEntry, State
from clockwork_triton.telemetry.statistics import Failure, Statistics
from clockwork_triton.telemetry.trace import Trace
from clockwork_triton.telemetry.trace_settings import TraceSettings, parse_changes

log = logging.getLogger(__name__)

SHUTTING_DOWN = "GRPC server is shutting down and has stopped accepting new requests."


class DataPlane:
    """Every method raises ServerError with the code and message the client should get.

    `clock` gives monotonic nanoseconds, the same that deadlines and arrivals are measured with.
    `default_slo_ns` is the budget of every request, unless it or its model has a smaller one. With
    `strict_readiness` the server is ready once all its models are, without it as soon as it is up.
    """

    def __init__(
        self,
        index: ModelIndex,
        engine: InferenceEngine,
        statistics: Statistics,
        clock: Callable[[], int],
        *,
        default_slo_ns: int | None = None,
        strict_readiness: bool = True,
        facilities: Facilities | None = None,
        cache: ResponseCache | None = None,
    ) -> None:
        self.clock = clock
        self.latencies = statistics.latencies
        self.facilities = facilities or Facilities()
        self._tracer = self.facilities.tracer
        self._index = index
        self._execution = Execution(engine, clock, cache)
        self._models = PreparedModels(index, statistics, default_slo_ns)
        self._strict_readiness = strict_readiness
        self._accepting = True
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # -- health and repository

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        return self._accepting and (not self._strict_readiness or self._index.all_ready())

    def model_ready(self, name: str, version: str) -> bool:
        """False for a model that is unknown or not READY; only a version that is no number is an error."""
        try:
            self._index.lookup(name, version)
        except ServerError as error:
            if error.code in (Code.NOT_FOUND, Code.UNAVAILABLE):
                return False
            raise
        return True

    def model(self, name: str, version: str) -> PreparedModel:
        return self._models.lookup(name, version)

    def models(self, name: str = "", version: str = "") -> Sequence[PreparedModel]:
        """The READY versions: all of them, those of one model, or the one asked for."""
        if not name:
            return self._models.served()
        asked = self._models.lookup(name, version)
        if version:
            return [asked]
        found = [model for model in self._models.served() if model.served.name == name]
        return sorted(found, key=lambda model: model.served.version)

    def models_with_statistics(self, name: str = "", version: str = "") -> Sequence[PreparedModel]:
        """As `models`, with the errors of the statistics extension."""
        try:
            return self.models(name, version)
        except ServerError as error:
            if error.code not in (Code.NOT_FOUND, Code.UNAVAILABLE):
                raise
            known = any(model.served.name == name for model in self._models.served())
            raise ServerError(
                Code.INVALID_ARG,
                f"requested model version is not available for model '{name}'"
                if known
                else f"requested model '{name}' is not available",
            ) from error

    def entries(self, ready_only: bool) -> Sequence[IndexEntry]:
        return [e for e in self._index.entries() if not ready_only or e.state is State.READY]

    # -- inference

    async def infer(
        self,
        name: str,
        version: str,
        decode: Callable[[], InferRequest],
        arrival_ns: int,
        transport_deadline_ns: int | None = None,
    ) -> InferResponse:
        """Checks a request, runs it, and counts what became of it.

        `decode` makes the request out of the protocol's message; it is called after the lookup because an
        unknown model comes before any other fault. Cancelling the task cancels the request.
        """
        if not self._accepting:
            raise ServerError(Code.UNAVAILABLE, SHUTTING_DOWN)
        model = self._models.lookup(name, version)
        answers: list[InferenceAnswer] = []
        trace = self._tracer.sample(name) if self._tracer.active else None
        request: InferRequest | None = None
        model.pending += 1
        self._started()
        try:
            request = decode()
            return await self._execution.run(
                model, request, arrival_ns, transport_deadline_ns, answers, trace
            )
        except asyncio.CancelledError:
            self._failed(model, Failure.CANCELED, arrival_ns, answers, trace)
            raise
        except ExecutionError as error:
            self._failed(model, _reason(error), arrival_ns, answers, trace)
            raise
        except ServerError:
            # Triton's statistics and metrics know nothing of requests that are not in order.
            model.statistics.invalid += 1
            raise
        except Exception:
            log.exception("An inference of model '%s' failed unexpectedly", name)
            self._failed(model, Failure.OTHER, arrival_ns, answers, trace)
            raise ServerError(Code.INTERNAL, f"internal error in an inference of model '{name}'") from None
        finally:
            model.pending -= 1
            self._finished()
            if request is not None and request.parts:
                self.facilities.shared_memory.give_back(request.parts)

    def _failed(
        self,
        model: PreparedModel,
        reason: Failure,
        arrival_ns: int,
        answers: list[InferenceAnswer],
        trace: Trace | None,
    ) -> None:
        now = self.clock()
        model.statistics.failed(reason, now, arrival_ns, answers)
        if trace is not None:
            trace.stamp("REQUEST_END", now)
            trace.end()

    # -- traces

    def update_trace(self, model: str, settings: Mapping[str, Sequence[str] | None]) -> TraceSettings:
        """The settings in force after the change, of one model that is READY or ("") the global ones.

        An empty or missing value goes back to the layer below.
        """
        if model and not self.model_ready(model, ""):
            raise ServerError(Code.INVALID_ARG, f"Request for unknown model : {model}")
        if settings:
            self._tracer.update(model, parse_changes(settings))
        return self._tracer.settings(model)

    # -- draining

    def stop_accepting(self) -> None:
        """From now on inferences are refused, and the server is not ready; those under way go on."""
        self._accepting = False

    async def drained(self) -> None:
        """Returns once no inference is under way."""
        await self._idle.wait()

    def _started(self) -> None:
        if self._in_flight == 0:
            self._idle.clear()
        self._in_flight += 1

    def _finished(self) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()


def _reason(error: ServerError) -> Failure:
    if error.code is Code.UNAVAILABLE and error.message.endswith((TIMEOUT_EXPIRED, QUEUE_FULL)):
        return Failure.REJECTED
    if error.code is Code.CANCELLED:
        return Failure.CANCELED
    return Failure.BACKEND
