"""What the server answers, whatever the protocol: the one thing behind gRPC, HTTP and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from clockwork_triton.errors import TIMEOUT_EXPIRED, Code, ExecutionError, ServerError
from clockwork_triton.frontend.execution import Execution, Surroundings
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.outcome import outcome_of
from clockwork_triton.frontend.prepared import PreparedModel, PreparedModels
from clockwork_triton.frontend.request import InferRequest, InferResponse
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.frontend.slo import BEHIND_NS, deadline, overdue
from clockwork_triton.inference import InferenceEngine
from clockwork_triton.repository.index import ModelIndex
from clockwork_triton.repository.model import IndexEntry, State
from clockwork_triton.telemetry.stages import Stages
from clockwork_triton.telemetry.statistics import Failure, Statistics
from clockwork_triton.telemetry.trace_settings import TraceSettings, parse_changes

SHUTTING_DOWN = "GRPC server is shutting down and has stopped accepting new requests."


class DataPlane:
    """Every method raises ServerError with the code and message the client should get.

    `clock` gives monotonic nanoseconds, the same that deadlines and arrivals are measured with.
    `default_slo_ns` is the budget of every request, unless it or its model has a smaller one. With
    `strict_readiness` the server is ready while all its models and a worker are, without it as soon as it is
    up.
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
        self._around = Surroundings(engine, clock, cache, self._ended, self._begin_step)
        self._models = PreparedModels(index, statistics, default_slo_ns, clock)
        self._strict_readiness = strict_readiness
        self._accepting = True
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # -- health and repository

    def live(self) -> bool:
        return True

    def ready(self) -> bool:
        if self._strict_readiness and not (self._around.engine.up() and self._index.all_ready()):
            return False
        return self._accepting

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
        """As `begin`, for those who wait for the response. Cancelling the task cancels the request."""
        stages = Stages(arrival_ns, self.clock())
        return await outcome_of(
            lambda done: self.begin(name, version, decode, stages, done, arrival_ns, transport_deadline_ns)
        )

    def begin(
        self,
        name: str,
        version: str,
        decode: Callable[[], InferRequest],
        stages: Stages,
        done: Callable[[InferResponse | ServerError], None],
        arrival_ns: int,
        transport_deadline_ns: int | None = None,
        timeout_us: Callable[[], int] = lambda: 0,
    ) -> Execution:
        """Checks a request, has it run, and counts what becomes of it.

        `decode` makes the request out of the protocol's message; it is called after the lookup because an
        unknown model comes before any other fault. `done` may be called before this returns; it is not called
        where this raises. `stages` is filled in on the way. `timeout_us()`: what `decode` would say of that.
        """
        if not self._accepting:
            raise ServerError(Code.UNAVAILABLE, SHUTTING_DOWN)
        model = self._models.lookup(name, version)
        if self.clock() - arrival_ns > BEHIND_NS:
            self._refuse_overdue(model, arrival_ns, timeout_us(), transport_deadline_ns)
        trace = self._tracer.sample(name) if self._tracer.active else None
        execution = Execution(self._around, model, arrival_ns, stages, trace, done)
        self._begin_execution(execution, decode, transport_deadline_ns)
        return execution

    def _begin_step(
        self,
        name: str,
        version: str,
        request: InferRequest,
        deadline_ns: int | None,
        done: Callable[[InferResponse | ServerError], None],
    ) -> Execution:
        """A step of an ensemble's request, which was accepted before."""
        now = self.clock()
        execution = Execution(
            self._around, self._models.lookup(name, version), now, Stages(now, now), None, done
        )
        self._begin_execution(execution, lambda: request, deadline_ns)
        return execution

    def _begin_execution(
        self, execution: Execution, decode: Callable[[], InferRequest], deadline_ns: int | None
    ) -> None:
        execution.model.pending += 1
        if self._in_flight == 0:
            self._idle.clear()
        self._in_flight += 1
        execution.begin(decode, deadline_ns)

    def _refuse_overdue(
        self, model: PreparedModel, arrival_ns: int, timeout_us: int, transport_deadline_ns: int | None
    ) -> None:
        """Where too much has come, refusing must cost a fraction of answering: before anything is decoded."""
        now = self.clock()
        ends = deadline(arrival_ns, timeout_us, transport_deadline_ns, None)
        if ends is not None and overdue(arrival_ns, ends, now):
            model.statistics.failed(Failure.REJECTED, now, arrival_ns)
            raise ExecutionError(Code.UNAVAILABLE, TIMEOUT_EXPIRED)

    def _ended(self, execution: Execution) -> None:
        execution.model.pending -= 1
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()
        request = execution.request
        if request is not None and request.parts:
            self.facilities.shared_memory.give_back(request.parts)

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
