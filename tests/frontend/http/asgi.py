"""The application without a server: requests go in as ASGI events, responses come out as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http.app import HttpApp
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.repository.model import ServedModel
from clockwork_triton.telemetry.statistics import Statistics
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, simple


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        assert self.headers["content-type"] == "application/json"
        return self.status, self.json["error"]


class Bench:
    """One application over a fake engine and index. `app` and `plane` options go where they belong."""

    def __init__(
        self,
        *models: ServedModel,
        engine: FakeEngine | None = None,
        app: Mapping[str, Any] | None = None,
        **plane: Any,
    ) -> None:
        self.engine = engine or FakeEngine()
        self.index = FakeIndex(list(models or (simple(),)))
        self.clock = FakeClock()
        self.statistics = Statistics()
        self.plane = DataPlane(self.index, self.engine, self.statistics, self.clock, **plane)
        self.app = HttpApp(self.plane, ServerIdentity("triton", "1.2.3"), **(app or {}))

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | Mapping[str, Any] | Sequence[bytes] = b"",
        **headers: str,
    ) -> Answer:
        """`body`: bytes, text, an object to be written as JSON, or chunks. Header names with _ for -."""
        chunks = _chunks(body)
        events = [
            {"type": "http.request", "body": chunk, "more_body": place < len(chunks) - 1}
            for place, chunk in enumerate(chunks)
        ]
        sent: list[Mapping[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return events.pop(0) if events else {"type": "http.disconnect"}

        async def send(event: Mapping[str, Any]) -> None:
            sent.append(event)

        lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": lines}
        await self.app(scope, receive, send)
        start, *parts = sent
        content = b"".join(part["body"] for part in parts)
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        assert names["content-length"] == str(len(content))
        assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
        return Answer(start["status"], names, content)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, **headers)

    async def post(self, path: str, body: Any = b"", **headers: str) -> Answer:
        return await self.ask("POST", path, body, **headers)


def _chunks(body: Any) -> list[bytes]:
    if isinstance(body, list):
        return body
    if isinstance(body, Mapping):
        body = json.dumps(body)
    return [body.encode() if isinstance(body, str) else body]
