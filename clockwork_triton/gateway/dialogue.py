"""Questions and answers between the controller's process and a front end, beside the calls."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.transport.clockwork_pb2 import Envelope, Note

log = logging.getLogger(__name__)

Handler = Callable[[bytes], bytes | Awaitable[bytes]]

_ANSWER, _ERROR = "answer", "error"


class Dialogue:
    """One end. `handlers` answer the peer's questions, by topic; their ServerErrors reach who asked."""

    def __init__(self, send: Callable[[Envelope], None], handlers: Mapping[str, Handler]) -> None:
        self._send = send
        self._handlers = handlers
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Future[None]] = set()

    async def ask(self, topic: str, content: bytes = b"") -> bytes:
        """ServerError as the peer's handler raises it, UNAVAILABLE if the peer is lost."""
        number = next(self._numbers)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._say(topic, number, content)
        try:
            return await answer
        finally:
            self._asked.pop(number, None)

    def received(self, note: Note) -> None:
        if note.topic in (_ANSWER, _ERROR):
            asked = self._asked.get(note.number)
            if asked is None or asked.done():
                return
            if note.topic == _ANSWER:
                asked.set_result(note.content)
            else:
                code, _, message = note.content.decode().partition("\n")
                asked.set_exception(ServerError(Code(code), message))
            return
        task = asyncio.ensure_future(self._answer(note.topic, note.number, note.content))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lose(self) -> None:
        """The peer is gone."""
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ServerError(Code.UNAVAILABLE, "a process of the server was lost"))
        for task in self._tasks:
            task.cancel()

    async def _answer(self, topic: str, number: int, content: bytes) -> None:
        try:
            answer = self._handlers[topic](content)
            if inspect.isawaitable(answer):
                answer = await answer
        except ServerError as error:
            self._say(_ERROR, number, f"{error.code.value}\n{error.message}".encode())
        except Exception:
            log.exception("A question about '%s' could not be answered", topic)
            self._say(_ERROR, number, f"{Code.INTERNAL.value}\ninternal error".encode())
        else:
            self._say(_ANSWER, number, answer)

    def _say(self, topic: str, number: int, content: bytes) -> None:
        envelope = Envelope()
        note = envelope.note
        note.topic, note.number, note.content = topic, number, content
        self._send(envelope)
