"""A worker in this process, on a fake device and a socket pair."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.transport import messages
from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.clockwork_pb2 import Envelope, ModelRegistered, RegisterModel, Result
from clockwork_triton.worker.device import DeviceOptions
from clockwork_triton.worker.worker import Worker
from tests.worker.fake_device import FakeDevice

JOIN_S = 10.0
OPTIONS = DeviceOptions(8 * 4096, 4096, 4096, slots=2, slot_bytes=4096, io_fd=-1)


class Peer:
    """The engine's end. The device overlaps, so its INFERs end in two steps."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.device = FakeDevice()
        self.device.overlaps = True
        self.channel = BlockingChannel(ours)
        self.theirs = BlockingChannel(theirs)
        self.worker = Worker(0, "fake:0", self.device, OPTIONS, self.theirs)
        self.thread = threading.Thread(target=self.worker.serve)
        self.thread.start()
        assert self.receive().WhichOneof("body") == "hello"
        assert self.register(1).error == ""
        assert self.do(Action(1, ActionKind.LOAD, 0, 1, 0, 1 << 62, 0, pages=(0, 4))).status == Status.OK

    def register(self, model_id: int) -> ModelRegistered:
        self.channel.send(Envelope(register_model=RegisterModel(model_id=model_id, artifact="artifact")))
        return self.receive().model_registered

    def receive(self) -> Envelope:
        arrival = self.channel.receive()
        assert arrival is not None
        return arrival[0]

    def send(self, action: Action) -> None:
        self.channel.send(messages.action_envelope(action))

    def do(self, action: Action) -> Result:
        self.send(action)
        return self.receive().result


@pytest.fixture
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.channel.end()
    peer.thread.join(JOIN_S)
    assert not peer.thread.is_alive()
    peer.channel.close()
    peer.theirs.close()


def _infer(action_id: int) -> Action:
    return Action(action_id, ActionKind.INFER, 0, 1, 0, 1 << 62, 0, batch_size=1)


def test_an_infer_is_announced_to_the_device_and_answered_when_its_outputs_are_there(peer: Peer) -> None:
    result = peer.do(_infer(2))
    assert (result.action_id, result.status) == (2, Status.OK)
    assert 0 < result.end_ns == result.output_begin_ns < result.output_end_ns
    assert result.clock_mhz == FakeDevice.clock_mhz
    assert [call[0] for call in peer.device.calls if call[0] != "register"] == ["load", "expect", "infer"]


def test_a_worker_whose_device_is_lost_says_what_failed_and_ends(peer: Peer) -> None:
    peer.device.fails_with = RuntimeError("an illegal address")
    peer.device.dies = True
    result = peer.do(_infer(2))
    assert (result.status, result.message) == (Status.DEVICE_ERROR, "RuntimeError: an illegal address")
    assert peer.channel.receive() is None
    peer.thread.join(JOIN_S)
    assert not peer.thread.is_alive()


def test_a_worker_whose_device_is_lost_with_a_registration_says_so_and_ends(peer: Peer) -> None:
    peer.device.dies = True
    answer = peer.register(2)
    assert (answer.model_id, answer.error) == (2, "an illegal address")
    assert peer.channel.receive() is None
    peer.thread.join(JOIN_S)
    assert not peer.thread.is_alive()


def test_a_worker_whose_device_failed_once_goes_on(peer: Peer) -> None:
    peer.device.fails_with = RuntimeError("out of luck")
    assert peer.do(_infer(2)).status == Status.DEVICE_ERROR
    peer.device.fails_with = None
    assert peer.do(_infer(3)).status == Status.OK
    assert peer.device.calls[0] == ("register", 1, Path("artifact"))
