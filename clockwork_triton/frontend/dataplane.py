"""What the server answers, whatever the protocol: the one thing behind gRPC, HTTP and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from clockwork_triton.errors import TIMEOUT_EXPIRED, Code, ServerError
from clockwork_triton.frontend.prepared import PreparedModel, PreparedModels
from clockwork_triton.frontend.request import InferRequest, InferResponse
from clockwork_triton.frontend.slo import deadline
from clockwork_triton.frontend.splitting import infer_in_parts
from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine
from clockwork_triton.repository.index import ModelIndex
from clockwork_triton.repository.model import IndexEntry, State
from clockwork_triton.telemetry.statistics import Failure, Statistics

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
    ) -> None:
        self.clock = clock
        self._index = index
        self._engine = engine
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
        model.pending += 1
        self._started()
        try:
            return await self._run(model, decode(), arrival_ns, transport_deadline_ns, answers)
        except asyncio.CancelledError:
            model.statistics.failed(Failure.CANCELED, self.clock(), arrival_ns, answers)
            raise
        except ServerError as error:
            model.statistics.failed(_reason(error), self.clock(), arrival_ns, answers)
            raise
        except Exception:
            log.exception("An inference of model '%s' failed unexpectedly", name)
            model.statistics.failed(Failure.OTHER, self.clock(), arrival_ns, answers)
            raise ServerError(Code.INTERNAL, f"internal error in an inference of model '{name}'") from None
        finally:
            model.pending -= 1
            self._finished()

    async def _run(
        self,
        model: PreparedModel,
        request: InferRequest,
        arrival_ns: int,
        transport_deadline_ns: int | None,
        answers: list[InferenceAnswer],
    ) -> InferResponse:
        rows, inputs, selection = model.checker.check(request)
        ends = deadline(arrival_ns, request.timeout_us, transport_deadline_ns, model.default_budget_ns)
        if ends is not None and ends <= self.clock():
            raise ServerError(Code.UNAVAILABLE, TIMEOUT_EXPIRED)
        call = InferenceCall(model.served.model_id, rows, inputs, arrival_ns, ends, request.priority)
        if rows <= model.largest:
            answer = await self._engine.infer(call)
            answers.append(answer)
            outputs = answer.outputs
        else:
            outputs = await infer_in_parts(self._engine, call, model.largest, answers)
        response = InferResponse(selection.layout, request.id, [outputs[i] for i in selection.indices])
        now = self.clock()
        model.statistics.succeeded(now, arrival_ns, rows, ends is not None and now > ends, answers)
        return response

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
    if error.code is Code.UNAVAILABLE and error.message == TIMEOUT_EXPIRED:
        return Failure.REJECTED
    if error.code is Code.CANCELLED:
        return Failure.CANCELED
    return Failure.BACKEND if error.code in (Code.INTERNAL, Code.UNAVAILABLE) else Failure.OTHER
