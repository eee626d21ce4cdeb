from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.controller import actions
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.transport import clockwork_pb2 as pb
from clockwork_triton.transport import messages
from clockwork_triton.transport.framing import ChannelError
from clockwork_triton.transport.messages import NEVER_NS, Stages

u32 = st.integers(0, 2**32 - 1)
times = st.integers(0, 2**63 - 1)


@given(
    st.builds(
        Action,
        action_id=st.integers(0, 2**63),
        kind=st.sampled_from(ActionKind),
        worker_id=st.just(3),
        model_id=u32,
        earliest_ns=times,
        latest_ns=times,
        expected_ns=times,
        batch_size=u32,
        request_ids=st.just(()),
        pages=st.lists(u32).map(tuple),
    ),
    u32,
)
def test_an_action_arrives_as_it_was_sent(action: Action, slot: int) -> None:
    payload = messages.action_envelope(action, slot).SerializeToString()
    message = messages.parse(payload).action
    assert messages.action_of(message, 3) == action
    assert message.slot == slot


@given(
    st.builds(
        ActionResult,
        action_id=st.integers(0, 2**63),
        worker_id=st.just(5),
        status=st.sampled_from(Status),
        received_ns=times,
        begin_ns=times,
        end_ns=times,
        message=st.text(),
        clock_mhz=u32,
    )
)
def test_a_result_arrives_as_it_was_sent(result: ActionResult) -> None:
    stages = Stages(result.begin_ns, result.end_ns)
    envelope = messages.result_envelope(
        result.action_id, result.status, result.received_ns, stages, result.message, result.clock_mhz
    )
    message = messages.parse(envelope.SerializeToString()).result
    assert messages.action_result(message, 5) == result


def test_hello_tells_the_spec() -> None:
    hello = pb.Hello(worker_id=4, device_kind="cpu-x-1t", pages=9, slots=2, overlaps=True)
    assert messages.worker_spec(hello) == WorkerSpec(4, "cpu-x-1t", 9, 2, True)


@pytest.mark.parametrize(("ours", "theirs"), [(ActionKind, pb.ActionKind), (Status, pb.Status)])
def test_enums_are_numbered_alike(ours: type[ActionKind] | type[actions.Status], theirs: object) -> None:
    assert {member.name: member.value for member in ours} == dict(theirs.items())


def test_times_of_an_action_move_and_open_ends_stay() -> None:
    moved = pb.Envelope(action=pb.Action(earliest_ns=1_000, latest_ns=2_000, expected_ns=7))
    messages.to_local(moved, -300)
    assert (moved.action.earliest_ns, moved.action.latest_ns, moved.action.expected_ns) == (700, 1_700, 7)
    open_ended = pb.Envelope(action=pb.Action(earliest_ns=0, latest_ns=NEVER_NS))
    messages.to_local(open_ended, 300)
    assert (open_ended.action.earliest_ns, open_ended.action.latest_ns) == (0, NEVER_NS)


def test_times_of_a_result_move_and_absent_ones_stay() -> None:
    stages = Stages(begin_ns=20, end_ns=30, output_begin_ns=31, output_end_ns=32)
    envelope = messages.result_envelope(1, Status.OK, 10, stages)
    messages.to_local(envelope, 100)
    result = envelope.result
    assert (result.received_ns, result.begin_ns, result.end_ns) == (110, 120, 130)
    assert (result.input_begin_ns, result.input_end_ns) == (0, 0)
    assert (result.output_begin_ns, result.output_end_ns) == (131, 132)


@pytest.mark.parametrize(
    "payload", [b"GET / HTTP/1.1", b"\xff" * 30, pb.Envelope(sent_ns=5).SerializeToString()]
)
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    with pytest.raises(ChannelError):
        messages.parse(payload)


def test_kinds_and_statuses_of_another_version_are_refused() -> None:
    with pytest.raises(ChannelError, match="unknown kind 99"):
        messages.action_of(pb.Action(kind=99), 0)
    with pytest.raises(ChannelError, match="unknown status 99"):
        messages.action_result(pb.Result(status=99), 0)
