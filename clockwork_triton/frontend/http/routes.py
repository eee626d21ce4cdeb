"""Which handler answers which path, and what the path says."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from clockwork_triton.frontend.http.exchange import HttpRequest, HttpResponse

Handler = Callable[..., HttpResponse | Awaitable[HttpResponse]]


class Route(NamedTuple):
    """`pattern` matches whole paths; its groups, "" where they do not take part, are the arguments that
    follow the request. `category`: Triton's, by which it may be restricted."""

    pattern: re.Pattern[str]
    methods: Sequence[str]
    category: str
    handler: Handler


class Found(NamedTuple):
    route: Route
    arguments: Sequence[str]


class Routes:
    """A route written first comes first. `{m}` stands for a model, `{v}` for an optional version, `{r}` for a
    region or repository and `{r?}` for an optional one."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, path: str, methods: str, category: str, handler: Handler) -> None:
        """`methods`: separated by spaces."""
        pattern = re.escape(path).replace(r"\{", "{").replace(r"\}", "}").replace(r"\?", "?")
        for mark, expression in _MARKS.items():
            pattern = pattern.replace(mark, expression)
        self._routes.append(Route(re.compile(pattern), methods.split(), category, handler))

    def find(self, path: str) -> Found | None:
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match:
                return Found(route, [group or "" for group in match.groups()])
        return None


async def call(found: Found, request: HttpRequest) -> HttpResponse:
    response = found.route.handler(request, *found.arguments)
    return response if isinstance(response, HttpResponse) else await response


_MARKS = {
    "{m}": "([^/]+)",
    "{v}": "(?:/versions/([0-9]+))?",
    "{r}": "([^/]+)",
    "{r?}": "(?:/region/([^/]+))?",
}
