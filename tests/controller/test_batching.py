from __future__ import annotations

from clockwork_triton.controller.actions import Request
from clockwork_triton.controller.batching import (
    Choice,
    best_batch,
    most_rows_batch,
    patient_batch,
    urgent_batch,
)
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec
from clockwork_triton.controller.state import State

TIMES = {1: 10, 2: 15, 4: 25, 8: 45}


def replica(infer_ns: dict[int, int] | None = None) -> Replica:
    state = State(Options())
    worker = state.add_worker(WorkerSpec(0, "v100", 10, 8, True))
    model = ModelState(ModelSpec(0, "m", (1,), {"v100": Estimate(5, infer_ns or TIMES)}), 1)
    found = state.replica(model, worker)
    assert found is not None
    return found


def wait(where: Replica, *due_ns: int, rows: int = 1, rank: int = 0) -> None:
    model = where.model
    for due in due_ns:
        request = Request(model.departed, 0, rows, 0, due)
        size = model.size_for(rows)
        assert size is not None
        model.departed += 1
        model.queue.add(
            Pending(request.request_id, model, rows, size, 0, request.deadline_ns, due, rank, model.departed)
        )


def test_nothing_waits() -> None:
    assert best_batch(replica().model.queue, 0, replica()) is None


def test_the_largest_batch_that_ends_in_time() -> None:
    where = replica()
    wait(where, 45, 45, 45, 45, 45, 50, 50, 50)
    assert best_batch(where.model.queue, 0, where) == Choice(3, 0, 8)
    assert best_batch(where.model.queue, 1, where) == Choice(2, 0, 4)
    assert best_batch(where.model.queue, 35, where) == Choice(1, 5, 7)
    assert best_batch(where.model.queue, 36, where) == Choice(0, 5, 6)
    assert best_batch(where.model.queue, 41, where) is None


def test_requests_too_urgent_for_the_batch_are_skipped() -> None:
    where = replica()
    wait(where, 12, 30, 30, 30, 30)
    assert best_batch(where.model.queue, 0, where) == Choice(2, 1, 5)


def test_the_most_urgent_is_taken_along_unless_leaving_it_is_worth_it() -> None:
    where = replica()
    wait(where, 12, 30, 30, 30, 30)
    assert urgent_batch(where.model.queue, 0, where) == Choice(2, 1, 5), "4 in 25 beat 1 in 10"
    where = replica({1: 10, 2: 19})
    wait(where, 12, 30, 30)
    assert urgent_batch(where.model.queue, 0, where) == Choice(0, 0, 1), "2 in 19 are not worth it"


def test_a_size_not_quite_filled_is_used_if_it_does_more_rows_and_the_rest_could_not_wait() -> None:
    where = replica({1: 10, 2: 15, 4: 22})
    wait(where, 29, 29, 29)
    assert most_rows_batch(where.model.queue, 0, where) == Choice(2, 0, 3), "3 in 22 beat 2 in 15"
    assert most_rows_batch(where.model.queue, 8, where) == Choice(1, 0, 2), "it would be late"
    wait(where, 30)
    where.model.queue.take([0])
    assert most_rows_batch(where.model.queue, 0, where) == Choice(1, 0, 2), "the last is in time for a next"
    where = replica({1: 10, 2: 15, 4: 23})
    wait(where, 29, 29, 29, FAR)
    assert most_rows_batch(where.model.queue, 0, where) == Choice(1, 0, 2), "3 in 23 do not"


def test_a_size_that_does_fewer_rows_in_the_same_time_is_not_used() -> None:
    where = replica({1: 6, 2: 10, 4: 23, 8: 130, 16: 200})
    wait(where, *[1000] * 20)
    assert best_batch(where.model.queue, 0, where) == Choice(1, 0, 2)
    where.ran(2, 10, 0)
    assert where.slow == [False, False, True, True, True], "one sample does not change the median"
    for _ in range(10):
        where.ran(2, 10, 0)
    assert best_batch(where.model.queue, 0, where) == Choice(2, 0, 4)


def test_requests_of_several_rows_are_packed_where_most_rows_are_done() -> None:
    where = replica()
    wait(where, 100, rows=3)
    assert best_batch(where.model.queue, 0, where) == Choice(2, 0, 1, (0,))
    wait(where, 200, 200, 200, rows=2)
    assert best_batch(where.model.queue, 0, where) == Choice(3, 0, 3, (0, 1, 2)), "7 of 8 rows"
    wait(where, 300)
    assert best_batch(where.model.queue, 0, where) == Choice(3, 0, 5, (0, 1, 2, 4)), "8 of 8 rows"


def test_those_without_a_deadline_do_not_ride_along() -> None:
    where = replica()
    wait(where, 100, FAR, FAR + 1, FAR + 2)
    assert best_batch(where.model.queue, 0, where) == Choice(0, 0, 1)
    assert patient_batch(where.model.queue, where.model.sizes, where.expected_ns) == (1, (1, 2))


def test_those_without_a_deadline_go_together_if_a_row_of_padding_costs_less_than_another_batch() -> None:
    where = replica({1: 10, 2: 11, 4: 12, 8: 24})
    sizes = where.model.sizes
    found = []
    for _ in range(5):
        wait(where, FAR)
        size, places = patient_batch(where.model.queue, sizes, where.expected_ns)
        found.append((sizes[size], len(places)))
    assert found == [(1, 1), (2, 2), (4, 3), (4, 4), (4, 4)]
