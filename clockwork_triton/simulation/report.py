"""The figures of a run, as one JSON document.

docs/simulation.md describes the fields.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clockwork_triton.simulation.experiment import Run
from clockwork_triton.simulation.recorder import ModelCounts

SECOND = 1e9
MS = 1e6
# Models are listed one by one only up to this many.
LISTED_MODELS = 100
PERCENTILES: Mapping[str, float] = {
    "p50": 50,
    "p90": 90,
    "p99": 99,
    "p99.9": 99.9,
    "p99.99": 99.99,
    "max": 100,
}


def report(run: Run) -> dict[str, Any]:
    experiment, recorder = run.experiment, run.recorder
    seconds = (experiment.duration_ns - experiment.warm_up_ns) / SECOND
    total = _sum(recorder.models.values())
    device_ns = experiment.duration_ns * experiment.devices
    return {
        "experiment": experiment.name,
        "about": experiment.about,
        "policy": run.policy,
        "seed": experiment.seed,
        "devices": experiment.devices,
        "models": len(experiment.models),
        "duration_s": experiment.duration_ns / SECOND,
        "warm_up_s": experiment.warm_up_ns / SECOND,
        **_counts(total, seconds),
        "latency_ms": _percentiles(recorder.latencies_ns),
        "refusal_ms": _percentiles(recorder.refusals_ns),
        "batches": {str(size): count for size, count in sorted(recorder.batches.items())},
        "loads": recorder.loads,
        "unloads": recorder.unloads,
        "refused_actions": recorder.refused_actions,
        "late_without_outlier": recorder.late_without_outlier,
        "device_busy": {
            "infer": sum(device.use.infer_ns for device in run.devices) / device_ns,
            "load": sum(device.use.load_ns for device in run.devices) / device_ns,
        },
        "prediction_error_ms": {
            "over": _percentiles(recorder.over_ns),
            "under": _percentiles(recorder.under_ns),
        },
        "groups": _groups(run, seconds),
        "per_model": _models(run, seconds),
        "series": _series(run),
        "controller_us_per_request": run.controller_ns / 1e3 / max(1, run.requests),
    }


def _sum(counts: Sequence[ModelCounts] | Any) -> ModelCounts:
    total = ModelCounts()
    for each in counts:
        for field in ModelCounts.__slots__:
            setattr(total, field, getattr(total, field) + getattr(each, field))
    return total


def _counts(counts: ModelCounts, seconds: float) -> dict[str, float]:
    answered = counts.in_time + counts.late
    return {
        "offered": counts.offered,
        "offered_rps": counts.offered / seconds,
        "goodput_rps": counts.in_time / seconds,
        "attainment": counts.in_time / counts.offered if counts.offered else 1.0,
        "in_time_of_answered": counts.in_time / answered if answered else 1.0,
        "refused": counts.refused,
        "late": counts.late,
        "failed": counts.other,
    }


def _groups(run: Run, seconds: float) -> dict[str, dict[str, float]]:
    members: dict[str, list[ModelCounts]] = {}
    for index, model in enumerate(run.experiment.models):
        members.setdefault(model.group, []).append(run.recorder.models.get(index) or ModelCounts())
    return {
        group: {"models": len(counts), **_counts(_sum(counts), seconds)} for group, counts in members.items()
    }


def _models(run: Run, seconds: float) -> dict[str, dict[str, float]]:
    if len(run.experiment.models) > LISTED_MODELS:
        return {}
    return {
        model.name: _counts(run.recorder.models.get(index) or ModelCounts(), seconds)
        for index, model in enumerate(run.experiment.models)
    }


def _series(run: Run) -> list[dict[str, float]]:
    step_s = run.experiment.series_step_ns / SECOND
    return [
        {
            "t_s": step * step_s,
            "offered_rps": offered / step_s,
            "goodput_rps": in_time / step_s,
            "late": late,
            "refused": refused,
            "deadline_offered_rps": due / step_s,
            "deadline_goodput_rps": met / step_s,
        }
        for step, (offered, in_time, late, refused, due, met) in sorted(run.recorder.series.items())
    ]


def _percentiles(values_ns: array[int]) -> dict[str, float]:
    if not values_ns:
        return {}
    values = np.frombuffer(values_ns, dtype=np.int64)
    found = np.percentile(values, list(PERCENTILES.values()), method="higher")
    return {name: round(float(value) / MS, 6) for name, value in zip(PERCENTILES, found, strict=True)}
