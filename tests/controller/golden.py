"""Recorded event logs with the commands they gave. `python -m tests.controller.golden` records them anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

from clockwork_triton.controller import actions, events, specs
from clockwork_triton.controller.actions import ActionResult, Outcome, Status
from clockwork_triton.controller.commands import Command
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.events import Event
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import Estimate
from tests.controller.world import MS, World

FOLDER = Path(__file__).parent / "golden"
PAGES = 12
SEGMENTS = ((3,), (2, 2), (5,), (1, 1, 1), (4, 4))


def scenario(policy: str) -> World:
    """Two small devices, five models that do not all fit, and everything that can happen to them."""
    rng = Random(7)
    world = World(policy, durations=lambda action, planned: int(planned * rng.uniform(0.9, 1.3)))
    for worker in range(2):
        world.join(worker, PAGES, 2, overlaps=worker == 0)
    for model, segments in enumerate(SEGMENTS):
        scale = model + 1
        world.add(
            model, Estimate(4 * MS, {1: scale * MS, 2: 3 * scale * MS // 2, 4: 5 * scale * MS // 2}), segments
        )
    world.calibrate(1, Estimate(4 * MS, {1: 2 * MS, 4: 5 * MS}), 1, {1: 2, 4: 1})
    for step in range(120):
        for _ in range(rng.choice((0, 1, 1, 6))):
            slo_ms = rng.choice((None, 5, 20, 60, 200))
            rows, priority = rng.choice((1, 1, 1, 3)), rng.choice((0, 0, 0, 1))
            world.ask(rng.randrange(5), None if slo_ms is None else slo_ms * MS, rows, priority)
        world.run(rng.choice((0, 1, 3, 10)) * MS)
        if step == 30:
            world.faults[len(world.actions) + 1] = Status.DEVICE_ERROR
        elif step % 10 == 5:
            world.cancel(len(world.requests))
        elif step == 60:
            world.lose(1)
        elif step == 70:
            world.join(1, PAGES, 2, overlaps=False)
        elif step == 100:
            world.retire(4)
    world.run(60_000 * MS)
    return world


def lines(world: World) -> Iterator[str]:
    """One for each event: the time, the event, its commands."""
    for now_ns, event, commands in world.script:
        yield json.dumps([now_ns, encode(event), [encode(command) for command in commands]])


def replay(policy: str, text: str) -> Iterator[tuple[str, str]]:
    """What each event of a recording gave, and gives now."""
    controller = Controller(POLICIES[policy]())
    for line in text.splitlines():
        now_ns, event, commands = json.loads(line)
        found: list[Command] = controller.handle(decode(event), now_ns)
        yield json.dumps(commands), json.dumps([encode(command) for command in found])


def encode(value: Any) -> Any:
    """As JSON, records by the name of their class."""
    if is_dataclass(value):
        return {type(value).__name__: [encode(getattr(value, field.name)) for field in fields(value)]}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {type(value).__name__: [encode(each) for each in value]}
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return [[key, encode(each)] for key, each in value.items()]
    if isinstance(value, frozenset):
        return sorted(value)
    return [encode(each) for each in value] if isinstance(value, tuple) else value


def decode(document: Mapping[str, Any]) -> Event:
    """The event that was encoded."""
    ((name, values),) = document.items()
    made: Event = getattr(events, name)(*map(_field, values))
    return made


def _field(value: Any) -> Any:
    """The field of an event: only these are not plain."""
    if not isinstance(value, dict):
        return dict(value) if isinstance(value, list) else value
    ((name, values),) = value.items()
    if name == "ActionResult":
        return ActionResult(*values[:2], Status[values[2]], *values[3:])
    if name == "Estimate":
        return Estimate(values[0], dict(values[1]))
    if name == "ModelSpec":
        estimates = {kind: _field(estimate) for kind, estimate in values[3]}
        workers = None if values[4] is None else frozenset(values[4])
        return specs.ModelSpec(*values[:2], tuple(values[2]), estimates, workers)
    return getattr(actions if name == "Request" else specs, name)(*values)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for policy in POLICIES:
        world = scenario(policy)
        outcomes = {outcome for outcome, _ in world.answers.values()}
        assert outcomes >= {Outcome.OK, Outcome.REFUSED, Outcome.CANCELLED}
        (FOLDER / f"{policy}.jsonl").write_text("\n".join(lines(world)) + "\n")


if __name__ == "__main__":
    main()
