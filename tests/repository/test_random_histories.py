"""Whatever happens to a repository, in whatever order: nothing leaks, and what served goes on serving."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockwork_triton.errors import ServerError
from clockwork_triton.repository.config import parse_text, read_config
from clockwork_triton.repository.model import State
from clockwork_triton.repository.plan import ConfigOptions, plan_model, prepare_version
from clockwork_triton.repository.repository import ControlMode, Repository
from tests.repository.fakes import VECTOR, FakeLoader, no_sleep, until, write, write_config, write_version

NAMES = ("a", "b")
POLICIES = (
    "",
    "version_policy { all { } }",
    "version_policy { specific { versions: [ 1 ] } }",
    "max_batch_size: 2",
    "nonsense",
)

names = st.sampled_from(NAMES)
versions = st.integers(1, 2)
actions = st.one_of(
    st.tuples(st.just("version"), names, versions),
    st.tuples(st.just("config"), names, st.integers(0, len(POLICIES) - 1)),
    st.tuples(st.just("remove"), names, versions),
    st.tuples(st.just("fail"), names, versions),
    st.tuples(st.just("hold"), names, versions),
    st.tuples(st.just("release"), names, versions),
    st.tuples(st.just("poll"), names, versions),
    st.tuples(st.just("load"), names, versions),
    st.tuples(st.just("unload"), names, versions),
    st.tuples(st.just("spin"), names, versions),
)


class History:
    """A repository and the things that are done to it."""

    def __init__(self, root: Path, mode: ControlMode) -> None:
        self.root = root
        self.mode = mode
        self.loader = FakeLoader()
        self.models = Repository([root], self.loader, mode=mode, sleep=no_sleep)
        self.calls: list[asyncio.Task[None]] = []

    async def do(self, action: str, name: str, number: int) -> None:
        if action == "version":
            write_version(self.root, name, number)
        elif action == "config":
            write_config(self.root, name, POLICIES[number])
        elif action == "remove":
            shutil.rmtree(self.root / name, ignore_errors=True)
        elif action == "fail":
            failing = self.loader.fails
            failing.pop((name, number), None) or failing.update({(name, number): "told to"})
        elif action == "hold":
            self.loader.held.setdefault((name, number), asyncio.Event())
        elif action == "release":
            if event := self.loader.held.pop((name, number), None):
                event.set()
        elif action == "poll" and self.mode is ControlMode.POLL:
            await self.models.poll()
        elif action == "load" and self.mode is ControlMode.EXPLICIT:
            self.calls.append(asyncio.create_task(self.models.load(name)))
        elif action == "unload" and self.mode is ControlMode.EXPLICIT:
            self.models.unload(name)
        elif action == "spin":
            for _ in range(5):
                await asyncio.to_thread(int)

    def check(self) -> None:
        """What holds at any moment."""
        served = self.models.served()
        assert {model.model_id for model in served} <= self.loader.live
        assert not self.loader.released_twice
        for name in NAMES:
            ready = [model for model in served if model.name == name]
            if ready:
                assert self.models.lookup(name, "") == max(ready, key=lambda model: model.version)
                assert all(self.models.lookup(name, str(model.version)) == model for model in ready)
            else:
                with pytest.raises(ServerError):
                    self.models.lookup(name, "")

    async def settle(self) -> None:
        """Lets everything that is under way come to its end."""
        for event in self.loader.held.values():
            event.set()
        self.loader.held.clear()
        self.loader.fails.clear()
        await asyncio.gather(*self.calls, return_exceptions=True)
        await self.models.idle()


@settings(max_examples=60)
@given(st.lists(actions, max_size=30), st.sampled_from([ControlMode.POLL, ControlMode.EXPLICIT]))
def test_nothing_leaks_and_the_index_is_right(history: list[tuple[str, str, int]], mode: ControlMode) -> None:
    async def test(root: Path) -> None:
        state = History(root, mode)
        await state.models.start()
        for action in history:
            await state.do(*action)
            state.check()
        await state.settle()
        state.check()
        assert state.loader.loading == 0
        assert state.loader.live == {model.model_id for model in state.models.served()}
        states = {entry.state for entry in state.models.entries()}
        assert not states & {State.LOADING, State.UNLOADING}

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(asyncio.wait_for(test(Path(directory)), 60))


@settings(max_examples=30)
@given(st.lists(actions.filter(lambda action: action[0] not in ("remove", "fail")), max_size=30))
def test_polling_never_takes_a_model_away_that_stays(history: list[tuple[str, str, int]]) -> None:
    async def test(root: Path) -> None:
        write_version(root, "a", 1)
        state = History(root, ControlMode.POLL)
        await state.models.start()
        for action in history:
            await state.do(*action)
            assert state.models.lookup("a", "")
        await state.settle()
        write_config(root, "a", "")
        for _ in range(2):
            await state.models.poll()
        await until(lambda: state.models.lookup("a", "").max_batch_size == 4)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(asyncio.wait_for(test(Path(directory)), 60))


@given(st.binary(max_size=200))
def test_any_bytes_as_a_configuration_are_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "config.pbtxt"
        path.write_bytes(content)
        with contextlib.suppress(ServerError):
            read_config(Path(directory))


fields = st.sampled_from(
    [
        "max_batch_size: {n}",
        'input [ {{ name: "X" data_type: TYPE_FP32 dims: [ {n} ] }} ]',
        'input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 3 ] reshape {{ shape: [ {n}, 3 ] }} }} ]',
        'output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ {n} ] }} ]',
        'output [ {{ name: "Y" label_filename: "{n}" }} ]',
        "version_policy {{ latest {{ num_versions: {n} }} }}",
        "dynamic_batching {{ preferred_batch_size: [ {n} ] }}",
        "dynamic_batching {{ default_queue_policy {{ default_timeout_microseconds: {n} }} }}",
        "instance_group [ {{ count: {n} kind: KIND_GPU gpus: [ {n} ] }} ]",
        'parameters {{ key: "slo_ms" value {{ string_value: "{n}" }} }}',
        'default_model_filename: "{n}"',
    ]
)


@given(st.lists(st.tuples(fields, st.integers(-2, 9)), max_size=5))
def test_any_configuration_is_prepared_or_refused(parts: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write_version(Path(directory), "m", 1)
        model = Path(directory) / "m"
        write(model / "3", "a\nb\n")
        options = ConfigOptions()
        try:
            override = parse_text(" ".join(text.format(n=number) for text, number in parts))
            plan = plan_model("m", model, [1], options, override)
            prepared = prepare_version(plan, 1, VECTOR, options)
        except ServerError:
            return
        assert prepared.source.shapes == {"X": (3,)} or not prepared.source.config.max_batch_size
        assert all(dim > 0 for shape in prepared.source.shapes.values() for dim in shape)
