from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.gateway.dialogue import Dialogue, Handler
from tests.frontend.fakes import run


class Pair:
    """Two ends, joined."""

    def __init__(self, **handlers: Handler) -> None:
        self.asking = Dialogue(lambda envelope: self.answering.received(envelope.note), {})
        self.answering = Dialogue(lambda envelope: self.asking.received(envelope.note), handlers)


def test_answers_find_their_questions_whatever_comes_first() -> None:
    async def test() -> None:
        gates = {b"a": asyncio.Event(), b"b": asyncio.Event()}

        async def wait(content: bytes) -> bytes:
            await gates[content].wait()
            return content * 2

        pair = Pair(wait=wait)
        first, second = (asyncio.ensure_future(pair.asking.ask("wait", c)) for c in (b"a", b"b"))
        await asyncio.sleep(0)
        gates[b"b"].set()
        assert await second == b"bb"
        assert not first.done()
        gates[b"a"].set()
        assert await first == b"aa"

    run(test())


def test_errors_reach_who_asked() -> None:
    def fail(content: bytes) -> bytes:
        raise ServerError(Code.NOT_FOUND, "no such\nthing")

    async def test() -> None:
        with pytest.raises(ServerError, match=r"^no such\nthing$") as raised:
            await Pair(fail=fail).asking.ask("fail")
        assert raised.value.code is Code.NOT_FOUND

    run(test())


@pytest.mark.parametrize("topic", ["unknown", "broken"])
def test_a_fault_of_the_server_is_an_answer_too(topic: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(content: bytes) -> bytes:
        raise ZeroDivisionError

    async def test() -> None:
        with pytest.raises(ServerError, match="internal error"):
            await Pair(broken=broken).asking.ask(topic)

    run(test())
    assert f"A question about '{topic}' could not be answered" in caplog.text


def test_whoever_waits_for_a_lost_peer_is_told() -> None:
    async def test() -> None:
        pair = Pair(never=never())
        question = asyncio.ensure_future(pair.asking.ask("never"))
        await asyncio.sleep(0)
        pair.asking.lose()
        with pytest.raises(ServerError, match="a process of the server was lost"):
            await question
        pair.answering.lose()

    run(test())


def never() -> Callable[[bytes], Awaitable[bytes]]:
    async def wait(content: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    return wait
