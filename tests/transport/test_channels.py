"""Both ends of a channel over a socket pair: the asyncio one and the blocking one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from clockwork_triton.transport.blocking import BlockingChannel
from clockwork_triton.transport.channel import Channel
from clockwork_triton.transport.clockwork_pb2 import Action, Envelope, ModelRegistered, Shutdown
from clockwork_triton.transport.framing import ChannelError

TIMEOUT_S = 30.0


class Ends:
    """A channel on the event loop, what came out of it, and the bare socket at its other end."""

    def __init__(self, **options: int) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.settimeout(TIMEOUT_S)
        self._ours = ours
        self.received: list[Envelope] = []
        self.lost: list[str] = []
        self.changed = asyncio.Event()
        at_turn_end = asyncio.get_running_loop().call_soon
        self.channel = Channel(self._on_message, self._on_lost, at_turn_end, **options)

    async def open(self) -> Ends:
        await asyncio.get_running_loop().create_unix_connection(lambda: self.channel, sock=self._ours)
        return self

    def _on_message(self, envelope: Envelope, received_ns: int) -> None:
        assert received_ns >= envelope.sent_ns
        self.received.append(envelope)
        self.changed.set()

    def _on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), TIMEOUT_S)


def run(scenario: Callable[[Ends], Awaitable[None]], **options: int) -> None:
    async def main() -> None:
        ends = await Ends(**options).open()
        try:
            await scenario(ends)
        finally:
            ends.channel.close()
            ends.peer.close()
            await asyncio.sleep(0)

    asyncio.run(main())


def registered(model_id: int) -> Envelope:
    return Envelope(model_registered=ModelRegistered(model_id=model_id))


def test_messages_pass_both_ways_in_order() -> None:
    async def scenario(ends: Ends) -> None:
        worker = BlockingChannel(ends.peer)
        for model_id in range(50):
            ends.channel.send(registered(model_id))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for model_id in range(50):
            arrival = worker.receive()
            assert arrival is not None
            assert arrival[0].model_registered.model_id == model_id
            assert arrival[1] >= arrival[0].sent_ns > 0
            worker.send(registered(model_id + 1))
        await ends.until(lambda: len(ends.received) == 50)
        assert [e.model_registered.model_id for e in ends.received] == list(range(1, 51))

    run(scenario)


def test_what_is_sent_in_one_turn_after_the_first_leaves_in_one_write() -> None:
    writes: list[bytes] = []

    async def main() -> None:
        channel = Channel(lambda *_: None, lambda _: None, asyncio.get_running_loop().call_soon)
        channel.connection_made(_Recorder(writes))
        for _ in range(5):
            channel.send(registered(1))
        assert len(writes) == 1
        await asyncio.sleep(0)

    asyncio.run(main())
    assert len(writes) == 2
    assert len(writes[1]) == 4 * len(writes[0])


class _Recorder(asyncio.Transport):
    def __init__(self, writes: list[bytes]) -> None:
        super().__init__()
        self._writes = writes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._writes.append(bytes(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack("<I", 0), "a frame of 0 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of"),
        (struct.pack("<I", 4) + b"\xff\xff\xff\xff", "no message"),
        (struct.pack("<I", 9) + Envelope(sent_ns=5).SerializeToString(), "without content"),
    ],
)
def test_garbage_loses_the_channel_with_a_reason(data: bytes, reason: str) -> None:
    async def scenario(ends: Ends) -> None:
        ends.peer.sendall(data)
        await ends.until(lambda: bool(ends.lost))
        assert reason in ends.lost[0]
        assert not ends.channel.is_open
        ends.channel.send(registered(1))  # does nothing

    run(scenario)


@pytest.mark.parametrize("data", [b"", struct.pack("<I", 100) + b"half"])
def test_the_end_of_the_peer_is_told_once(data: bytes) -> None:
    async def scenario(ends: Ends) -> None:
        ends.peer.sendall(data)
        ends.peer.close()
        await ends.until(lambda: bool(ends.lost))
        await asyncio.sleep(0)
        assert ends.lost == [
            "the peer ended in the middle of a message" if data else "the peer closed the channel"
        ]

    run(scenario)


def test_closing_flushes_and_is_no_loss() -> None:
    async def scenario(ends: Ends) -> None:
        for _ in range(3):
            ends.channel.send(Envelope(shutdown=Shutdown()))
        ends.channel.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        worker = BlockingChannel(ends.peer)
        assert [worker.receive() is not None for _ in range(4)] == [True, True, True, False]
        assert ends.lost == []

    run(scenario)


def test_a_message_larger_than_a_frame_is_not_sent() -> None:
    async def scenario(ends: Ends) -> None:
        with pytest.raises(ValueError, match="1 to 64"):
            ends.channel.send(Envelope(model_registered=ModelRegistered(error="x" * 100)))
        assert ends.channel.is_open

    run(scenario, max_frame_bytes=64)


def test_times_arrive_on_the_clock_of_the_receiver() -> None:
    """The worker's clock is an hour ahead; after a message each way, both know, and say so to nobody."""
    hour_ns = 3600 * 10**9
    here, there = socket.socketpair()
    ticks = iter(range(10**12, 10**13, 1000))

    ours = BlockingChannel(here, same_clock=False, clock=lambda: next(ticks))
    worker = BlockingChannel(there, same_clock=False, clock=lambda: next(ticks) + hour_ns)
    for _ in range(2):
        ours.send(Envelope(shutdown=Shutdown()))
        worker.receive()
        worker.send(Envelope(shutdown=Shutdown()))
        ours.receive()
    ours.send(Envelope(action=Action(earliest_ns=2 * 10**12, latest_ns=0)))
    arrival = worker.receive()
    assert arrival is not None
    assert abs(arrival[0].action.earliest_ns - 2 * 10**12 - hour_ns) <= 1000
    ours.close()
    worker.close()


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00", struct.pack("<I", 2) + b"\xff\xff", b"\x09"])
def test_the_worker_does_not_take_garbage(data: bytes) -> None:
    here, there = socket.socketpair()
    worker = BlockingChannel(there)
    here.sendall(data)
    here.close()
    with pytest.raises(ChannelError):
        worker.receive()
    worker.close()


def test_the_worker_sees_the_end() -> None:
    here, there = socket.socketpair()
    here.close()
    worker = BlockingChannel(there)
    assert worker.receive() is None
    worker.close()
