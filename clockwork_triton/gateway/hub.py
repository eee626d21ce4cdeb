"""The front ends that have processes of their own, as the controller's process keeps them."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.handlers import Call, UnaryHandler
from clockwork_triton.frontend.http.app import HttpApp
from clockwork_triton.gateway.dialogue import Handler
from clockwork_triton.gateway.report import Report
from clockwork_triton.gateway.session import CallEngine, Session

log = logging.getLogger(__name__)

RESTART_DELAY_S = 0.1
_COUNTED = ("/ModelStatistics", "/stats")
"""Ends of the paths whose answers count what front ends have done."""


class Desk(Protocol):
    """What answers everything but inferences: the services of the controller's process."""

    @property
    def unary(self) -> Mapping[str, UnaryHandler]: ...


@dataclass(frozen=True)
class HubOptions:
    """`setup` is told to each front end at its start. `arena_fds`: one for each of them."""

    setup: bytes
    arena_fds: Sequence[int]
    start_timeout_s: float = 30.0


class Hub:
    """`state()` is what all front ends must know of models and settings; whenever it may have changed, `sync`
    is to be awaited, or `changed` to be called where nobody waits for that. `take(reports)` is given what
    the front ends count, once before each answer that depends on it."""

    def __init__(
        self,
        options: HubOptions,
        engine: CallEngine,
        desk: Desk,
        app: HttpApp,
        *,
        state: Callable[[], bytes],
        take: Callable[[Sequence[Report]], None],
    ) -> None:
        self._options = options
        self._engine = engine
        self._desk = desk
        self._app = app
        self._state = state
        self._take = take
        self._sessions: dict[int, Session] = {}
        self._listening: dict[int, asyncio.Future[str]] = {}
        self._reports: dict[int, Report] = {}
        self._gone: list[Report] = []
        self._told = b""
        self._syncing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> None:
        """Returns when every front end listens. OSError with its words if one cannot."""
        self._told = self._state()
        await asyncio.gather(*(self._launch(number) for number in range(len(self._options.arena_fds))))

    async def stop(self, grace_s: float) -> None:
        """Has the front ends take no more calls, end those under way, and end."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        sessions = list(self._sessions.values())
        asked = (session.dialogue.ask("drain", pickle.dumps(grace_s)) for session in sessions)
        await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.gather(*(session.stop() for session in sessions))

    def changed(self) -> None:
        """As `sync`, for those who do not wait."""
        self._spawn(self.sync())

    async def sync(self) -> None:
        """Returns when every front end knows the state."""
        async with self._syncing:
            state = self._state()
            if state != self._told:
                self._told = state
                await self._ask_all("state", state)

    async def collect(self) -> None:
        """Has `take` called with what the front ends, and those that were before them, have counted."""
        numbers, answers = await self._ask_all("report")
        for number, answer in zip(numbers, answers, strict=True):
            if answer:
                self._reports[number] = pickle.loads(answer)
        self._take([*self._gone, *self._reports.values()])

    async def _ask_all(self, topic: str, content: bytes = b"") -> tuple[list[int], list[bytes]]:
        """The answers, empty from those that are lost meanwhile."""
        sessions = dict(self._sessions)

        async def ask(session: Session) -> bytes:
            try:
                return await session.dialogue.ask(topic, content)
            except ServerError as error:
                log.warning("front end %d: %s", session.number, error.message)
                return b""

        return list(sessions), await asyncio.gather(*(ask(session) for session in sessions.values()))

    async def _launch(self, number: int) -> None:
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._listening[number] = listening
        handlers: dict[str, Handler] = {
            "setup": lambda _: pickle.dumps((self._options.setup, self._told)),
            "listening": lambda content: self._listens(number, content),
            "rpc": self._rpc,
            "http": self._http,
        }
        session = Session(number, self._engine, handlers, self._ended)
        await session.start(self._options.arena_fds[number])
        try:
            error = await asyncio.wait_for(listening, self._options.start_timeout_s)
        except TimeoutError:
            error = f"front end {number} did not start"
        if error:
            await session.stop()
            raise OSError(error)
        self._sessions[number] = session
        # What changed between its question and now.
        await session.dialogue.ask("state", self._told)

    def _listens(self, number: int, content: bytes) -> bytes:
        listening = self._listening[number]
        if not listening.done():
            listening.set_result(content.decode())
        return b""

    def _ended(self, session: Session) -> None:
        number = session.number
        listening = self._listening[number]
        if not listening.done():
            listening.set_result(f"front end {number} ended at its start")
        if self._stopping or self._sessions.get(number) is not session:
            return
        log.error("front end %d is lost; it is started again", number)
        del self._sessions[number]
        if number in self._reports:
            self._gone.append(self._reports.pop(number))
        self._spawn(self._restart(number))

    async def _restart(self, number: int) -> None:
        while True:
            await asyncio.sleep(RESTART_DELAY_S)
            try:
                await self._launch(number)
            except (OSError, ServerError) as error:
                log.error("front end %d is not back: %s", number, error)
            else:
                log.info("front end %d is back", number)
                return

    async def _rpc(self, content: bytes) -> bytes:
        path, data, call = pickle.loads(content)
        handler = self._desk.unary.get(path)
        if handler is None:
            raise ServerError(Code.UNSUPPORTED, "")
        if path.endswith(_COUNTED):
            await self.collect()
        try:
            return await handler(data, Call(*call))
        finally:
            await self.sync()

    async def _http(self, content: bytes) -> bytes:
        path, request = pickle.loads(content)
        if path.endswith(_COUNTED):
            await self.collect()
        try:
            return pickle.dumps(await self._app.answer(path, request))
        finally:
            await self.sync()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
