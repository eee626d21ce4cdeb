from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Outcome, Request, Status
from clockwork_triton.simulation.experiment import Experiment, Runner
from clockwork_triton.simulation.noise import Noise
from clockwork_triton.simulation.recorder import Recorder
from clockwork_triton.simulation.replay import Measured, read_logs
from clockwork_triton.simulation.report import report
from clockwork_triton.simulation.toml_table import ExperimentError
from clockwork_triton.telemetry.action_log import ActionLog
from clockwork_triton.telemetry.request_log import RequestLog
from tests.simulation.worlds import steady


class Logs(Recorder):
    """Writes what a server would write."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        super().__init__()
        self.requests = RequestLog(folder / "requests.tsv")
        self.actions = ActionLog(folder / "actions.tsv")
        self.names = [model.name for model in experiment.models]
        self.pages = 0

    def answered(self, request: Request, outcome: Outcome, now_ns: int) -> None:
        super().answered(request, outcome, now_ns)
        self.requests.record(
            self.names[request.model_id],
            request.arrival_ns,
            request.deadline_ns,
            request.rows,
            request.priority,
            outcome.value,
            now_ns,
            1,
        )

    def ended(self, action: Action, result: ActionResult, now_ns: int) -> None:
        super().ended(action, result, now_ns)
        if action.kind is ActionKind.LOAD and result.status is Status.OK:
            self.pages += 7
        self.actions.record(now_ns, action, result, self.names[action.model_id], self.pages)

    def close(self) -> None:
        self.requests.close()
        self.actions.close()


def record(folder: Path, experiment: Experiment) -> dict[str, float]:
    logs = Logs(folder, experiment)
    found = report(Runner("adaptive").run(experiment, logs))
    logs.close()
    return found


def read(folder: Path) -> tuple[Experiment, Measured]:
    return read_logs(folder / "requests.tsv", folder / "actions.tsv", 1376, overlaps=True)


@pytest.mark.parametrize(("rate", "slo_ms"), [(300, 100), (900, 50)])
def test_a_replay_repeats_what_was_recorded(tmp_path: Path, rate: float, slo_ms: int) -> None:
    recorded = record(tmp_path, steady(rate, slo_ms, seconds=20, noise=Noise(1.2)))
    experiment, measured = read(tmp_path)
    assert [model.segments for model in experiment.models] == [(7,), (7,)]
    assert measured.goodput_rps == pytest.approx(recorded["goodput_rps"], rel=0.01)
    again = report(Runner("adaptive").run(experiment))
    assert again["offered"] == recorded["offered"]
    assert again["goodput_rps"] == pytest.approx(recorded["goodput_rps"], rel=0.03)
    assert again["latency_ms"]["p99"] == pytest.approx(recorded["latency_ms"]["p99"], rel=0.1)  # type: ignore[index]


def test_other_files_are_refused(tmp_path: Path) -> None:
    record(tmp_path, steady())
    requests, actions = tmp_path / "requests.tsv", tmp_path / "actions.tsv"
    with pytest.raises(ExperimentError, match="not a log with the columns"):
        read_logs(actions, requests, 10, overlaps=True)
    with pytest.raises(ExperimentError, match="none"):
        read_logs(tmp_path / "none", actions, 10, overlaps=True)
    lines = actions.read_text().splitlines(keepends=True)
    actions.write_text("".join(line for line in lines if "INFER" not in line))
    with pytest.raises(ExperimentError, match="no INFER of 'resnet50_v2_0'"):
        read(tmp_path)
    requests.write_text(requests.read_text().splitlines()[0] + "\n")
    with pytest.raises(ExperimentError, match="no requests"):
        read(tmp_path)
