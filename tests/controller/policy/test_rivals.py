"""What is particular to the policies that others have."""

from __future__ import annotations

from clockwork_triton.controller.actions import ActionKind, Outcome
from clockwork_triton.controller.options import Options
from tests.controller.world import MS, World


def world(policy: str, workers: int = 1, options: Options | None = None) -> World:
    made = World(policy, options)
    for worker in range(workers):
        made.join(worker)
    made.add(0)
    made.ask(0, None)
    made.run(50 * MS)
    made.actions.clear()
    return made


def sizes(made: World) -> list[int]:
    return [action.batch_size for action in made.sent(ActionKind.INFER)]


def test_clipper_finds_the_batch_size_by_trial() -> None:
    made = world("clipper")
    for _ in range(40):
        made.ask(0, 400 * MS)
    made.run(500 * MS)
    assert sizes(made)[:2] == [1, 2], "it begins with one row and adds one a batch"
    assert max(sizes(made)) >= 8
    grown = max(sizes(made))
    for _ in range(30):
        made.ask(0, 6 * MS)
        made.run(3 * MS)
    made.actions.clear()
    for _ in range(16):
        made.ask(0, 400 * MS)
    made.run(100 * MS)
    assert max(sizes(made)) < grown, "batches took longer than the objective of their requests"


def test_triton_runs_whatever_waits_and_rejects_what_times_out_in_the_queue() -> None:
    made = world("triton")
    first = [made.ask(0, 100 * MS) for _ in range(12)]
    late = made.ask(0, 4 * MS)
    made.run(100 * MS)
    assert sizes(made) == [1, 8, 2, 1]
    assert made.outcome(late) is Outcome.REFUSED
    assert {made.outcome(request) for request in first} == {Outcome.OK}


def test_triton_waits_for_company_as_long_as_it_may() -> None:
    made = world("triton", options=Options(queue_delay_ns=20 * MS))
    request = made.ask(0, 200 * MS)
    made.run(10 * MS)
    assert sizes(made) == []
    made.ask(0, 200 * MS)
    made.run(30 * MS)
    assert sizes(made) == [2]
    assert 20 * MS < made.answers[request][1] - made.requests[request].arrival_ns < 30 * MS


def test_infaas_takes_batches_of_half_the_objective() -> None:
    made = world("infaas")
    for _ in range(16):
        made.ask(0, 26 * MS)
    made.run(100 * MS)
    assert max(sizes(made)) == 8, "16 rows take 21.7 ms, 8 take 12.4"


def test_infaas_starts_another_instance_under_load() -> None:
    made = world("infaas", workers=2)
    for _ in range(300):
        made.ask(0, 60 * MS)
        made.run(MS)
    assert {action.worker_id for action in made.sent(ActionKind.INFER)} == {0, 1}
