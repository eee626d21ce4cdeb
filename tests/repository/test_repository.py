from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.describe import repository_index
from clockwork_triton.repository.lifecycle import OUTDATED
from clockwork_triton.repository.model import IndexEntry, State
from clockwork_triton.repository.repository import ControlMode, Repository
from clockwork_triton.repository.scan import TWICE
from tests.repository.fakes import (
    FakeLoader,
    VirtualSleep,
    no_sleep,
    until,
    write,
    write_config,
    write_version,
)

ALL = "version_policy { all { } }"


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 60))


def repository(root: Path, loader: FakeLoader, mode: str = "poll", **options: Any) -> Repository:
    return Repository([root], loader, mode=ControlMode(mode), sleep=options.pop("sleep", no_sleep), **options)


async def poll_until_settled(models: Repository) -> None:
    """Two polls, as a change needs, and whatever they start."""
    await models.poll()
    await models.poll()
    await models.idle()


@contextmanager
def refused(code: Code, message: str) -> Iterator[None]:
    with pytest.raises(ServerError) as refusal:
        yield
    assert (refusal.value.code, refusal.value.message) == (code, message)


# Start and lookup


def test_a_start_loads_every_model(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "a", 1)
        write_version(tmp_path, "b", 1)
        write_config(tmp_path, "b", ALL)
        write_version(tmp_path, "b", 10)
        models = repository(tmp_path, FakeLoader(), "none")
        assert not models.all_ready()
        assert await models.start() == ()
        assert models.all_ready()
        assert [(m.name, m.version) for m in models.served()] == [("a", 1), ("b", 1), ("b", 10)]
        served = models.lookup("b", "")
        assert (served.version, served.max_batch_size) == (10, 4)
        assert served.inputs == (TensorSpec("X", "float32", (3,)),)
        assert served.outputs == (TensorSpec("Y", "float32", (2,)),)
        assert models.lookup("b", "1").version == 1
        assert models.entries() == [
            IndexEntry("a", "1", State.READY),
            IndexEntry("b", "1", State.READY),
            IndexEntry("b", "10", State.READY),
        ]

    run(test())


def test_lookup_errors_in_tritons_words(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        write_version(tmp_path, "m", 3)
        write_config(tmp_path, "m", ALL)
        write_version(tmp_path, "broken", 1)
        loader = FakeLoader()
        loader.fails = {("m", 3): "no", ("broken", 1): "no"}
        models = repository(tmp_path, loader, "none")
        await models.start()
        unknown = "Request for unknown model: "
        assert models.lookup("m", "").version == 1
        assert models.lookup("m", " 1x").version == 1
        with refused(Code.NOT_FOUND, f"{unknown}'x' is not found"):
            models.lookup("x", "")
        with refused(Code.NOT_FOUND, f"{unknown}'x' is not found"):
            models.lookup("x", "7")
        with refused(Code.NOT_FOUND, f"{unknown}'m' version 2 is not found"):
            models.lookup("m", "2")
        with refused(Code.NOT_FOUND, f"{unknown}'broken' has no available versions"):
            models.lookup("broken", "")
        with refused(Code.UNAVAILABLE, f"{unknown}'m' version 3 is not at ready state"):
            models.lookup("m", "3")
        for text in ("one", "v1", " ", "99999999999999999999"):
            with refused(
                Code.INVALID_ARG,
                f"failed to get model version from specified version string '{text}' (details: stol), "
                "version should be an integral value > 0",
            ):
                models.lookup("m", text)
        with refused(
            Code.INVALID_ARG,
            "invalid model version specified '-1' , version should be an integral value > 0",
        ):
            models.lookup("m", "-1")

    run(test())


def test_one_bad_model_does_not_disturb_the_rest(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "good", 1)
        write_version(tmp_path, "broken", 1)
        write_version(tmp_path, "crash", 1)
        write_version(tmp_path, "config", 1)
        write_config(tmp_path, "config", "nonsense")
        write_config(tmp_path, "hollow", 'backend: "onnxruntime"')
        (tmp_path / "outside").symlink_to("/")
        loader = FakeLoader()
        loader.fails["broken", 1] = "the file is truncated"
        loader.crashes.add("crash")
        models = repository(tmp_path, loader, "none")
        failures = await models.start()
        assert [(f.name, f.version) for f in failures] == [
            ("broken", 1),
            ("config", None),
            ("crash", 1),
            ("hollow", None),
            ("outside", None),
        ]
        reasons = {entry.name: (entry.version, entry.state, entry.reason) for entry in models.entries()}
        assert reasons["good"] == ("1", State.READY, "")
        assert reasons["broken"] == ("1", State.UNAVAILABLE, "Invalid argument: the file is truncated")
        assert reasons["crash"] == (
            "1",
            State.UNAVAILABLE,
            "Internal: ZeroDivisionError: nobody foresaw this",
        )
        assert reasons["outside"][1:] == (State.UNAVAILABLE, "'outside' leads out of the model repository")
        assert reasons["hollow"][2].startswith("at least one version must be available")
        assert reasons["config"][2].startswith("failed to read text proto from config.pbtxt: 1:1")
        assert [served.name for served in models.served()] == ["good"]
        assert not models.all_ready()
        assert loader.live == {models.lookup("good", "").model_id}

    run(test())


def test_a_model_that_answers_otherwise_than_promised_is_refused_and_released(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        loader = FakeLoader()
        loader.outputs = (TensorSpec("Y", "float32", (5,)),)
        models = repository(tmp_path, loader, "none")
        (failure,) = await models.start()
        await models.idle()
        assert "the model makes [5]" in failure.reason
        assert not loader.live

    run(test())


def test_a_name_in_two_repositories_is_unavailable(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path / "one", "m", 1)
        write_version(tmp_path / "two", "m", 1)
        models = Repository([tmp_path / "one", tmp_path / "two"], FakeLoader())
        (failure,) = await models.start()
        assert failure.reason == TWICE
        assert models.entries() == [IndexEntry("m", "", State.UNAVAILABLE, TWICE)]

    run(test())


def test_a_repository_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    async def test() -> None:
        nowhere = tmp_path / "nowhere"
        models = repository(nowhere, FakeLoader(), "none")
        with refused(
            Code.INTERNAL, f"failed to read model repository '{nowhere}': No such file or directory"
        ):
            await models.start()

    run(test())


def test_loads_run_beside_each_other_up_to_the_limit(tmp_path: Path) -> None:
    async def test() -> None:
        for index in range(6):
            write_version(tmp_path, f"m{index}", 1)
        loader = FakeLoader()
        gates = [loader.hold(f"m{index}", 1) for index in range(6)]
        models = repository(tmp_path, loader, "none", loads_at_once=3)
        start = asyncio.create_task(models.start())
        await until(lambda: loader.loading == 3)
        assert not models.all_ready()
        assert {entry.state for entry in models.entries()} == {State.LOADING}
        for gate in gates:
            gate.set()
        await start
        assert loader.most_at_once == 3
        assert models.all_ready()

    run(test())


def test_slow_conversions_hold_up_no_other_model(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        for name in ("a", "b", "c"):
            write_version(tmp_path, name, 1)
            loader.slow[name] = asyncio.Event()
        write_version(tmp_path, "d", 1)
        models = repository(tmp_path, loader, "none", loads_at_once=1)
        start = asyncio.create_task(models.start())
        await until(lambda: [model.name for model in models.served()] == ["d"])
        for event in loader.slow.values():
            event.set()
        await start
        assert models.all_ready()

    run(test())


def test_a_version_serves_while_its_sibling_still_loads(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        write_version(tmp_path, "m", 2)
        write_config(tmp_path, "m", ALL)
        loader = FakeLoader()
        gate = loader.hold("m", 2)
        models = repository(tmp_path, loader, "none")
        start = asyncio.create_task(models.start())
        await until(lambda: bool(models.served()))
        assert models.lookup("m", "").version == 1
        with refused(Code.UNAVAILABLE, "Request for unknown model: 'm' version 2 is not at ready state"):
            models.lookup("m", "2")
        gate.set()
        await start
        assert models.lookup("m", "").version == 2

    run(test())


def test_changes_and_notices_are_told(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        write_config(tmp_path, "m", "instance_group [ { count: 2 } ]")
        states: list[tuple[str, int | None, State]] = []
        notices: list[tuple[str, str]] = []
        models = repository(
            tmp_path,
            FakeLoader(),
            "none",
            on_change=lambda s: states.append((s.name, s.version, s.state)),
            on_notice=lambda name, text: notices.append((name, text)),
        )
        await models.start()
        assert states == [("m", 1, State.LOADING), ("m", 1, State.READY)]
        assert notices == [("m", "instance_group.count: no effect, a device runs one inference at a time")]
        (status,) = models.statuses()
        assert status.serving is not None
        assert status.serving.loaded.infer_ns == {1: 1_000}

    run(test())


# Poll mode


def test_the_poll_loop_sleeps_between_looks(tmp_path: Path) -> None:
    async def test() -> None:
        loader, sleep = FakeLoader(), VirtualSleep()
        models = repository(tmp_path, loader, sleep=sleep, poll_interval_s=7.5)
        start = asyncio.create_task(models.start())
        await sleep.wake()
        await start
        loop = asyncio.create_task(models.run())
        write_version(tmp_path, "m", 1)
        for _ in range(2):
            await sleep.wake()
        await until(lambda: bool(models.served()))
        assert sleep.asked[:3] == [1.0, 7.5, 7.5]
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop

    run(test())


def test_without_polling_the_loop_ends_and_changes_are_ignored(tmp_path: Path) -> None:
    async def test() -> None:
        models = repository(tmp_path, FakeLoader(), "none")
        await models.start()
        write_version(tmp_path, "m", 1)
        await models.run()
        assert models.entries() == []

    run(test())


def test_a_directory_is_picked_up_when_it_has_settled(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        models = repository(tmp_path, loader)
        await models.start()
        path = write_version(tmp_path, "m", 1, "half")
        await models.poll()
        write(path, "whole")
        await models.poll()
        await models.idle()
        assert loader.loads == []
        assert models.entries() == [IndexEntry("m", "", State.UNKNOWN)]
        await models.poll()
        await models.idle()
        assert loader.contents == {1: b"whole"}
        assert models.lookup("m", "").version == 1

    run(test())


def test_a_start_in_poll_mode_leaves_a_copy_in_progress_for_later(tmp_path: Path) -> None:
    async def test() -> None:
        loader, sleep = FakeLoader(), VirtualSleep()
        write_version(tmp_path, "old", 1)
        path = write_version(tmp_path, "m", 1, "half")
        models = repository(tmp_path, loader, sleep=sleep)
        start = asyncio.create_task(models.start())
        await until(lambda: bool(sleep.asked))
        write(path, "whole")
        await sleep.wake()
        assert await start == ()
        assert loader.loads == [("old", 1)]
        await models.poll()
        await models.idle()
        assert loader.loads == [("old", 1), ("m", 1)]

    run(test())


def test_a_change_is_swapped_in_while_the_old_serves(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        path = write_version(tmp_path, "m", 1, "old")
        models = repository(tmp_path, loader)
        await models.start()
        old = models.lookup("m", "")
        gate = loader.hold("m", 1)
        write(path, "new")
        await models.poll()
        await models.poll()
        await until(lambda: loader.loading == 1)
        assert models.lookup("m", "") is old
        assert models.all_ready()
        loader.releases = asyncio.Event()
        gate.set()
        await until(lambda: models.lookup("m", "") is not old)
        assert loader.contents[models.lookup("m", "").model_id] == b"new"
        assert old.model_id in loader.live
        assert models.entries() == [IndexEntry("m", "1", State.READY)]
        loader.releases.set()
        await models.idle()
        assert loader.live == {models.lookup("m", "").model_id}

    run(test())


def test_a_reload_that_fails_leaves_the_old_and_says_why(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        path = write_version(tmp_path, "m", 1, "old")
        models = repository(tmp_path, loader)
        await models.start()
        old = models.lookup("m", "")
        loader.fails["m", 1] = "bad file"
        write(path, "new")
        await poll_until_settled(models)
        assert models.lookup("m", "") is old
        reason = "failed to load what replaces it: version 1: Invalid argument: bad file"
        assert models.entries() == [IndexEntry("m", "1", State.READY, reason)]
        assert models.all_ready()
        write_config(tmp_path, "m", "nonsense")
        await poll_until_settled(models)
        (entry,) = models.entries()
        assert entry.reason.startswith("failed to load what replaces it: failed to read text proto")
        (tmp_path / "m" / "config.pbtxt").unlink()
        del loader.fails["m", 1]
        await poll_until_settled(models)
        assert models.entries() == [IndexEntry("m", "1", State.READY)]
        assert loader.live == {models.lookup("m", "").model_id}

    run(test())


def test_a_reload_is_all_or_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1, "one")
        write_config(tmp_path, "m", ALL)
        models = repository(tmp_path, loader)
        await models.start()
        old = models.lookup("m", "1")
        loader.fails["m", 3] = "no"
        for version, content in ((1, "new"), (2, "two"), (3, "three")):
            write_version(tmp_path, "m", version, content)
        await poll_until_settled(models)
        assert [served.model_id for served in models.served()] == [old.model_id]
        assert loader.live == {old.model_id}
        del loader.fails["m", 3]
        write_version(tmp_path, "m", 3, "three again")
        await poll_until_settled(models)
        assert [served.version for served in models.served()] == [1, 2, 3]
        contents = [loader.contents[served.model_id] for served in models.served()]
        assert contents == [b"new", b"two", b"three again"]
        assert loader.live == {served.model_id for served in models.served()}

    run(test())


def test_versions_that_did_not_change_are_kept(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        write_config(tmp_path, "m", ALL)
        models = repository(tmp_path, loader)
        await models.start()
        first = models.lookup("m", "1").model_id
        write_version(tmp_path, "m", 2)
        write(tmp_path / "m" / "README.md", "a new version")
        await poll_until_settled(models)
        assert loader.loads == [("m", 1), ("m", 2)]
        assert models.lookup("m", "1").model_id == first
        write_config(tmp_path, "m", ALL + " max_batch_size: 2")
        await poll_until_settled(models)
        assert models.lookup("m", "1").max_batch_size == 2
        assert models.lookup("m", "1").model_id != first

    run(test())


def test_a_version_that_leaves_the_policy_is_unloaded_when_its_requests_have_ended(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        models = repository(tmp_path, loader)
        await models.start()
        loader.releases = asyncio.Event()
        write_version(tmp_path, "m", 2)
        await models.poll()
        await models.poll()
        await until(lambda: models.lookup("m", "").version == 2)
        assert models.entries()[0] == IndexEntry("m", "1", State.UNLOADING)
        assert models.all_ready()
        loader.releases.set()
        await models.idle()
        assert models.entries()[0] == IndexEntry("m", "1", State.UNAVAILABLE, "unloaded")
        assert models.all_ready()
        assert not loader.released_twice

    run(test())


def test_a_directory_that_is_removed_is_retired(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        models = repository(tmp_path, loader)
        await models.start()
        shutil.rmtree(tmp_path / "m")
        await models.poll()
        assert models.lookup("m", "").version == 1
        await models.poll()
        with refused(Code.NOT_FOUND, "Request for unknown model: 'm' has no available versions"):
            models.lookup("m", "")
        await models.idle()
        assert models.entries() == [IndexEntry("m", "1", State.UNAVAILABLE, "unloaded")]
        assert not loader.live
        assert models.all_ready()
        write_version(tmp_path, "m", 1)
        await poll_until_settled(models)
        assert models.lookup("m", "").version == 1

    run(test())


def test_a_model_that_failed_is_tried_again_only_when_it_changes(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        path = write_version(tmp_path, "m", 1)
        loader.fails["m", 1] = "no"
        models = repository(tmp_path, loader)
        assert len(await models.start()) == 1
        await poll_until_settled(models)
        assert loader.loads == [("m", 1)]
        del loader.fails["m", 1]
        write(path, "mended")
        await poll_until_settled(models)
        assert models.all_ready()

    run(test())


def test_a_newer_change_displaces_the_load_under_way(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        path = write_version(tmp_path, "m", 1, "one")
        models = repository(tmp_path, loader)
        await models.start()
        loader.hold("m", 1)
        write(path, "two")
        await models.poll()
        await models.poll()
        await until(lambda: loader.loading == 1)
        loader.held.clear()
        write(path, "three")
        await poll_until_settled(models)
        assert loader.contents[models.lookup("m", "").model_id] == b"three"
        assert b"two" not in loader.contents.values()
        assert len(loader.live) == 1

    run(test())


def test_a_displaced_reload_releases_what_it_had_loaded(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        write_config(tmp_path, "m", ALL)
        models = repository(tmp_path, loader)
        await models.start()
        loader.hold("m", 3)
        for version in (2, 3):
            write_version(tmp_path, "m", version)
        await models.poll()
        await models.poll()
        await until(lambda: len(loader.live) == 2 and loader.loading == 1)
        shutil.rmtree(tmp_path / "m")
        await poll_until_settled(models)
        assert not loader.live
        assert models.served() == []

    run(test())


def test_a_displaced_first_load_keeps_no_version_loading(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        for version in (1, 2):
            write_version(tmp_path, "m", version)
        write_config(tmp_path, "m", ALL)
        loader.hold("m", 2)
        models = repository(tmp_path, loader, "explicit")
        await models.start()
        load = asyncio.create_task(models.load("m"))
        await until(lambda: len(loader.live) == 1 and loader.loading == 1)
        write_config(tmp_path, "m", "version_policy { specific { versions: [ 1 ] } }")
        await models.load("m")
        with refused(Code.INTERNAL, OUTDATED):
            await load
        assert models.entries() == [IndexEntry("m", "1", State.READY)]

    run(test())


def test_a_displaced_version_does_not_stay_loading_when_its_successor_fails(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        for version in (1, 2):
            write_version(tmp_path, "m", version)
        write_config(tmp_path, "m", ALL)
        loader.hold("m", 2)
        models = repository(tmp_path, loader, "explicit")
        await models.start()
        load = asyncio.create_task(models.load("m"))
        await until(lambda: len(loader.live) == 1 and loader.loading == 1)
        write_config(tmp_path, "m", "nonsense")
        with refused(Code.INTERNAL, "failed to load 'm', failed to poll from model repository"):
            await models.load("m")
        await asyncio.wait([load])
        assert [(entry.version, entry.state) for entry in models.entries()] == [
            ("1", State.READY),
            ("2", State.UNAVAILABLE),
        ]

    run(test())


def test_a_repository_that_is_away_for_a_moment_unloads_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        root = tmp_path / "root"
        write_version(root, "m", 1)
        notices: list[str] = []
        models = repository(root, FakeLoader(), on_notice=lambda name, text: notices.append(text))
        await models.start()
        root.rename(tmp_path / "away")
        await poll_until_settled(models)
        assert models.lookup("m", "").version == 1
        assert notices == [f"failed to read model repository '{root}': No such file or directory"] * 2
        (tmp_path / "away").rename(root)
        await poll_until_settled(models)
        assert models.all_ready()

    run(test())


def test_polling_may_follow_named_models_only(tmp_path: Path) -> None:
    async def test() -> None:
        for name in ("a", "b"):
            write_version(tmp_path, name, 1)
        models = repository(tmp_path, FakeLoader(), load_models=["b"])
        await models.start()
        write_version(tmp_path, "c", 1)
        await poll_until_settled(models)
        assert models.entries() == [
            IndexEntry("a", "", State.UNKNOWN),
            IndexEntry("b", "1", State.READY),
            IndexEntry("c", "", State.UNKNOWN),
        ]

    run(test())


def test_a_twin_in_another_repository_does_not_stop_what_serves(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path / "one", "m", 1)
        (tmp_path / "two").mkdir()
        models = Repository(
            [tmp_path / "one", tmp_path / "two"], FakeLoader(), mode=ControlMode.POLL, sleep=no_sleep
        )
        await models.start()
        write_version(tmp_path / "two", "m", 1)
        await poll_until_settled(models)
        assert models.lookup("m", "").version == 1
        assert TWICE in models.entries()[0].reason

    run(test())


# Explicit mode


def test_explicit_mode_starts_with_what_is_named(tmp_path: Path) -> None:
    async def test() -> None:
        for name in ("a", "b"):
            write_version(tmp_path, name, 1)
        models = repository(tmp_path, FakeLoader(), "explicit", load_models=["b", "x"])
        (failure,) = await models.start()
        assert failure.reason == "failed to load 'x', failed to poll from model repository"
        assert [served.name for served in models.served()] == ["b"]
        assert models.entries()[0] == IndexEntry("a", "", State.UNKNOWN)
        every = repository(tmp_path, FakeLoader(), "explicit", load_models=["*"])
        assert await every.start() == ()
        assert [served.name for served in every.served()] == ["a", "b"]
        none = repository(tmp_path, FakeLoader(), "explicit")
        assert await none.start() == ()
        assert none.served() == []
        assert none.all_ready()

    run(test())


def test_load_and_unload_by_name(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        models = repository(tmp_path, loader, "explicit")
        await models.start()
        write_version(tmp_path, "m", 1)
        assert models.entries() == [IndexEntry("m", "", State.UNKNOWN)]
        await models.load("m")
        first = models.lookup("m", "")
        await models.load("m")
        assert models.lookup("m", "").model_id == first.model_id
        await models.load("m", '{"max_batch_size": "2"}')
        assert models.lookup("m", "").max_batch_size == 2
        loader.releases = asyncio.Event()
        models.unload("m")
        assert models.entries() == [IndexEntry("m", "1", State.UNLOADING)]
        loader.releases.set()
        await models.idle()
        assert models.entries() == [IndexEntry("m", "1", State.UNAVAILABLE, "unloaded")]
        with refused(Code.UNAVAILABLE, "Request for unknown model: 'm' version 1 is not at ready state"):
            models.lookup("m", "1")
        models.unload("unknown")
        assert not loader.live

    run(test())


def test_a_model_that_unloads_may_be_loaded_again_at_once(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        models = repository(tmp_path, loader, "explicit", load_models=["*"])
        await models.start()
        loader.releases = asyncio.Event()
        models.unload("m")
        await models.load("m")
        loader.releases.set()
        await models.idle()
        assert models.entries() == [IndexEntry("m", "1", State.READY)]
        assert loader.live == {models.lookup("m", "").model_id}

    run(test())


def test_load_errors_in_tritons_words(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        models = repository(tmp_path, loader, "explicit")
        await models.start()
        with refused(Code.INTERNAL, "failed to load 'x', failed to poll from model repository"):
            await models.load("x")
        write_version(tmp_path, "bad", 1)
        write_config(tmp_path, "bad", "nonsense")
        with refused(Code.INTERNAL, "failed to load 'bad', failed to poll from model repository"):
            await models.load("bad")
        write_config(tmp_path, "hollow", 'backend: "onnxruntime"')
        with refused(Code.INTERNAL, "failed to load 'hollow', no version is available"):
            await models.load("hollow")
        write_version(tmp_path, "m", 1)
        loader.fails["m", 1] = "no"
        with refused(
            Code.INVALID_ARG,
            "load failed for model 'm': version 1 is at UNAVAILABLE state: Invalid argument: no;\n",
        ):
            await models.load("m")
        with refused(Code.INVALID_ARG, "Model name cannot be empty. Please enter a valid name to deploy."):
            await models.load(" ")
        with refused(
            Code.INVALID_ARG,
            "invalid model name '../m', model name must not contain path traversal characters",
        ):
            models.unload("../m")

    run(test())


@pytest.mark.parametrize("mode", ["none", "poll"])
def test_the_other_modes_do_not_load_by_name(tmp_path: Path, mode: str) -> None:
    async def test() -> None:
        models = repository(tmp_path, FakeLoader(), mode)
        await models.start()
        told = "explicit model load / unload is not allowed if polling is enabled"
        with refused(Code.UNAVAILABLE, told):
            await models.load("m")
        with refused(Code.UNAVAILABLE, told):
            models.unload("m")

    run(test())


def test_a_client_that_goes_away_does_not_stop_the_load(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        gate = loader.hold("m", 1)
        models = repository(tmp_path, loader, "explicit")
        await models.start()
        load = asyncio.create_task(models.load("m"))
        await until(lambda: loader.loading == 1)
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        gate.set()
        await models.idle()
        assert models.lookup("m", "").version == 1

    run(test())


def test_unloading_stops_a_load(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        loader.hold("m", 1)
        models = repository(tmp_path, loader, "explicit")
        await models.start()
        load = asyncio.create_task(models.load("m"))
        await until(lambda: loader.loading == 1)
        models.unload("m")
        with refused(Code.INTERNAL, OUTDATED):
            await load
        assert loader.loading == 0
        assert models.entries() == [IndexEntry("m", "1", State.UNAVAILABLE, "unloaded")]

    run(test())


def test_a_name_that_is_not_utf8_is_passed_over_with_one_notice(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        write_version(tmp_path, os.fsdecode(b"\xff"), 1)
        notices: list[tuple[str, str]] = []
        models = repository(tmp_path, FakeLoader(), on_notice=lambda name, text: notices.append((name, text)))
        await models.start()
        await poll_until_settled(models)
        assert notices == [("", f"'{tmp_path}/\\udcff' is passed over: its name is not UTF-8")]
        index = repository_index(models.entries())
        assert [model.name for model in index.models] == ["m"]
        assert models.all_ready()

    run(test())


def test_a_reason_that_quotes_a_file_can_be_sent(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "m", 1)
        (tmp_path / "m" / os.fsdecode(b"\xff")).symlink_to("/")
        models = repository(tmp_path, FakeLoader())
        await models.start()
        index = repository_index(models.entries())
        assert [model.reason for model in index.models] == ["'\\udcff' leads out of the model repository"]

    run(test())


def test_closing_stops_what_loads(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        write_version(tmp_path, "m", 1)
        loader.hold("m", 1)
        models = repository(tmp_path, loader, "none")
        start = asyncio.create_task(models.start())
        await until(lambda: loader.loading == 1)
        await models.close()
        assert loader.loading == 0
        assert await start == ()

    run(test())
