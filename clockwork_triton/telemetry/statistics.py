"""Triton's statistics of a model: what ModelStatistics and the nv_inference_* metrics report.

For one event loop: every update is complete before anyone else can look, so a reader always sees counters
that belong together (perf_analyzer aborts where they do not).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from clockwork_triton.inference import InferenceAnswer
from clockwork_triton.telemetry.histogram import Histogram
from clockwork_triton.telemetry.latency_options import LatencyOptions
from clockwork_triton.telemetry.summary import Summary

STAGES = ("request", "queue", "compute_input", "compute_infer", "compute_output")
FIRST_RESPONSE_BOUNDS_NS = tuple(ms * 1_000_000 for ms in (100, 500, 2000, 5000))
"""Triton's."""


_COMPUTE = ("compute_input", "compute_infer", "compute_output")


class Failure(Enum):
    """Triton's reasons for the failure of a request."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


@dataclass(slots=True)
class Duration:
    """How often something happened and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns


@dataclass(slots=True)
class BatchStatistics:
    """Of the executions with one batch size: one count an execution, however many requests were in it."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)


class ModelStatistics:
    """The counters of one version of a model since it was first seen.

    `inference_count` counts rows, `execution_count` executions. `late` are answers that were sent after their
    deadline (they are successes too), `invalid` requests that were not in order (they are no failures). Stage
    durations count once a request, with the whole duration of the execution it was part of.
    """

    def __init__(self, latencies: LatencyOptions | None = None) -> None:
        latencies = latencies or LatencyOptions()
        self.last_inference_ns = 0
        self.inference_count = 0
        self.execution_count = 0
        self.late = 0
        self.invalid = 0
        self.success = Duration()
        self.queue = Duration()
        self.compute_input = Duration()
        self.compute_infer = Duration()
        self.compute_output = Duration()
        self.failures = {reason: Duration() for reason in Failure}
        self.batches: dict[int, BatchStatistics] = {}
        self.cache_hit = Duration()
        self.cache_miss = Duration()
        self.latency = Histogram()
        self.first_response = Histogram(FIRST_RESPONSE_BOUNDS_NS) if latencies.histograms else None
        self.summaries = {stage: Summary() for stage in STAGES} if latencies.summaries else None

    @property
    def fail(self) -> Duration:
        """Failures of every reason."""
        durations = self.failures.values()
        return Duration(sum(d.count for d in durations), sum(d.ns for d in durations))

    def succeeded(
        self,
        now_ns: int,
        arrival_ns: int,
        rows: int,
        late: bool,
        answers: Sequence[InferenceAnswer],
        unread_ns: int = 0,
    ) -> None:
        """A request was answered. `answers`: of its parts, one unless it was too big for one execution, none
        where its answer was kept from another. `unread_ns`: how long after `arrival_ns` it was read.

        Triton's durations begin with the reading, as Triton's do: an arrival is the earliest moment at which
        the request can have come, so that from then on it may seem to take longer than its client waited.

        Of several parts the stages of the one that ended last are taken: with its time in the queue, which
        includes waiting for the parts before it, they add up to the request's latency.
        """
        latency_ns = now_ns - arrival_ns
        self.latency.add(latency_ns)
        latency_ns -= unread_ns
        self.last_inference_ns = now_ns
        self.late += late
        self.success.count += 1
        self.success.ns += latency_ns
        if self.first_response is not None:
            self.first_response.add(latency_ns)
        if not answers:
            self.queue.add(latency_ns)
            self._summarise(now_ns, request=latency_ns, queue=latency_ns)
            return
        last = answers[0] if len(answers) == 1 else max(answers, key=_ended_after)
        self.inference_count += rows
        # The steps of an ensemble do not wait before the reading.
        queue_ns = max(0, last.queue_ns - unread_ns)
        # Written out: every request comes through here.
        for duration, ns in (
            (self.queue, queue_ns),
            (self.compute_input, last.input_ns),
            (self.compute_infer, last.infer_ns),
            (self.compute_output, last.output_ns),
        ):
            duration.count += 1
            duration.ns += ns
        if self.summaries is not None:
            self._summarise(
                now_ns,
                request=latency_ns,
                queue=queue_ns,
                compute_input=last.input_ns,
                compute_infer=last.infer_ns,
                compute_output=last.output_ns,
            )
        self._executed(answers)

    def _summarise(self, now_ns: int, **durations_ns: int) -> None:
        if self.summaries is not None:
            for stage, duration_ns in durations_ns.items():
                self.summaries[stage].add(now_ns, duration_ns)

    def failed(
        self, reason: Failure, now_ns: int, arrival_ns: int, answers: Sequence[InferenceAnswer] = ()
    ) -> None:
        """A request got an error or was cancelled. `answers`: of those of its parts that ran all the same."""
        self.failures[reason].add(now_ns - arrival_ns)
        self._executed(answers)

    def become_sum(self, parts: Sequence[ModelStatistics]) -> None:
        """Takes the sums of what others have counted, in place of what it was."""
        self.last_inference_ns = max((part.last_inference_ns for part in parts), default=0)
        for name in ("inference_count", "execution_count", "late", "invalid"):
            setattr(self, name, sum(getattr(part, name) for part in parts))
        for name in ("success", "queue", *_COMPUTE, "cache_hit", "cache_miss"):
            setattr(self, name, _sum(getattr(part, name) for part in parts))
        self.failures = {reason: _sum(part.failures[reason] for part in parts) for reason in Failure}
        self.batches = {}
        for size in {size for part in parts for size in part.batches}:
            batches = [part.batches[size] for part in parts if size in part.batches]
            sums = (_sum(getattr(batch, name) for batch in batches) for name in _COMPUTE)
            self.batches[size] = BatchStatistics(*sums)
        self.latency.become_sum([part.latency for part in parts])
        if self.first_response is not None:
            self.first_response.become_sum([p.first_response for p in parts if p.first_response is not None])
        if self.summaries is not None:
            for stage, summary in self.summaries.items():
                summary.become_sum([part.summaries[stage] for part in parts if part.summaries is not None])

    def _executed(self, answers: Sequence[InferenceAnswer]) -> None:
        for answer in answers:
            if not answer.leads:
                continue
            self.execution_count += 1
            batch = self.batches.get(answer.executed_rows)
            if batch is None:
                batch = self.batches[answer.executed_rows] = BatchStatistics()
            batch.compute_input.add(answer.input_ns)
            batch.compute_infer.add(answer.infer_ns)
            batch.compute_output.add(answer.output_ns)


def _sum(durations: Iterable[Duration]) -> Duration:
    total = Duration()
    for duration in durations:
        total.count += duration.count
        total.ns += duration.ns
    return total


class Statistics:
    """The statistics of all models, by name and version. They outlive a reload, as counters should."""

    def __init__(self, latencies: LatencyOptions | None = None) -> None:
        self.latencies = latencies or LatencyOptions()
        self._models: dict[tuple[str, int], ModelStatistics] = {}

    @property
    def known(self) -> Collection[tuple[str, int]]:
        """The names and versions seen so far."""
        return self._models.keys()

    def of(self, name: str, version: int) -> ModelStatistics:
        """New, and all zero, if the version has not been seen before."""
        found = self._models.get((name, version))
        if found is None:
            found = self._models[name, version] = ModelStatistics(self.latencies)
        return found


def _ended_after(answer: InferenceAnswer) -> int:
    return answer.queue_ns + answer.input_ns + answer.infer_ns + answer.output_ns
