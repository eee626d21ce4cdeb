from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.ensemble import check_steps, ensemble_plan
from clockwork_triton.repository.model import EnsembleStep, ServedModel, State
from clockwork_triton.repository.repository import ControlMode, Repository
from tests.compatibility import covers
from tests.repository.fakes import FakeLoader, until, write_version

STEP = """{ model_name: "one" model_version: -1
    input_map { key: "X" value: "%s" } output_map { key: "Y" value: "%s" } }"""


def config_of(*steps: str, dims: int = 3, batch: int = 0) -> Any:
    tensor = f"data_type: TYPE_FP32 dims: [ {dims} ]"
    return parse_text(
        f'name: "e" platform: "ensemble" max_batch_size: {batch} input [ {{ name: "IN" {tensor} }} ] '
        f'output [ {{ name: "OUT" {tensor} }} ] ensemble_scheduling {{ step [ {", ".join(steps)} ] }}'
    )


def served(
    *, dtype: str = "float32", shape: tuple[int, ...] = (3,), batch: int = 0, inputs: tuple[str, ...] = ("X",)
) -> ServedModel:
    return ServedModel(
        "one",
        1,
        1,
        None,
        tuple(TensorSpec(name, dtype, shape) for name in inputs),
        (TensorSpec("Y", dtype, shape),),
        batch,
    )


def test_steps_are_read_in_the_order_written() -> None:
    plan = ensemble_plan(config_of(STEP % ("mid", "OUT"), STEP % ("IN", "mid")))
    assert plan.steps == (
        EnsembleStep("one", "", {"X": "mid"}, {"Y": "OUT"}),
        EnsembleStep("one", "", {"X": "IN"}, {"Y": "mid"}),
    )
    check_steps(config_of(), plan, [served(), served()])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (config_of(), "must specify 'step' for ensemble 'e'"),
        (config_of('{ model_name: "one" }'), "must specify 'input_map' in step 0 of ensemble 'e'"),
        (config_of((STEP % ("IN", "OUT")).replace('"one"', '"e"')), "circular dependency between ensembles"),
        (config_of(STEP % ("IN", "OUT"), STEP % ("IN", "OUT")), "can appear in an output map only once"),
        (config_of(STEP % ("IN", "other")), "ensemble output 'OUT' for ensemble e' is not used"),
        (config_of(STEP % ("OUT", "OUT")), "ensemble input 'IN' for ensemble e' is not used"),
        (
            config_of(STEP % ("IN", "a"), STEP % ("b", "OUT")),
            "ensemble tensor 'b' of ensemble 'e' comes from no step",
        ),
        (
            config_of(STEP % ("IN", "a"), STEP % ("c", "b"), STEP % ("b", "c"), STEP % ("a", "OUT")),
            "wait for each other's tensors",
        ),
    ],
)
def test_steps_that_make_no_ensemble_are_refused(config: Any, said: str) -> None:
    with pytest.raises(ServerError, match=said):
        ensemble_plan(config)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            served(dtype="int32"),
            "in ensemble e, ensemble tensor IN: inconsistent data type: TYPE_FP32 is inferred from model e "
            "while TYPE_INT32 is inferred from model one",
        ),
        (
            served(shape=(4,)),
            "ensemble tensor IN: inconsistent shape: .3. is inferred from model e while .4. is inferred",
        ),
        (served(inputs=("Z",)), "ensemble tensor IN is mapping to non-existing input X in model one"),
        (served(inputs=("X", "Z")), "input Z in model one is not mapped to any ensemble tensors"),
    ],
)
def test_tensors_must_be_those_of_the_steps(model: ServedModel, said: str) -> None:
    config = config_of(STEP % ("IN", "OUT"))
    with pytest.raises(ServerError, match=said):
        check_steps(config, ensemble_plan(config), [model])


def test_an_ensemble_takes_no_more_rows_than_its_steps() -> None:
    config = config_of(STEP % ("IN", "OUT"), batch=8)
    said = (
        "allows maximum batch size 8, but it contains model one which only allows maximum batch size to be 4"
    )
    with pytest.raises(ServerError, match=said):
        check_steps(config, ensemble_plan(config), [served(batch=4)])
    # A step that does not batch takes the batch dimension for one of its own.
    check_steps(config, ensemble_plan(config), [served(shape=(-1, 3))])


def write_ensemble(root: Path, name: str, step: str) -> None:
    (root / name / "1").mkdir(parents=True)
    text = f"""platform: "ensemble" max_batch_size: 4
        input [ {{ name: "IN" data_type: TYPE_FP32 dims: [ 3 ] }} ]
        output [ {{ name: "OUT" data_type: TYPE_FP32 dims: [ 2 ] }} ]
        ensemble_scheduling {{ step [ {{ model_name: "{step}" model_version: -1
        input_map {{ key: "{"IN" if step.startswith("e") else "X"}" value: "IN" }}
        output_map {{ key: "{"OUT" if step.startswith("e") else "Y"}" value: "OUT" }} }} ] }}"""
    (root / name / "config.pbtxt").write_text(text)


@covers("ensemble_scheduling", "supported", "its deadline covers all steps; metrics count every step too")
def test_an_ensemble_waits_for_its_steps(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        held = loader.hold("one", 1)
        write_version(tmp_path, "one", 1)
        write_ensemble(tmp_path, "e", "one")
        repository = Repository([tmp_path], loader)
        start = asyncio.create_task(repository.start())
        await until(lambda: ("one", 1) in loader.loads)
        assert not start.done()
        held.set()
        assert await start == ()
        served = repository.lookup("e", "")
        assert served.ensemble is not None
        assert (served.runtime, served.model_id < 0, served.max_batch_size) == ("ensemble", True, 4)
        assert served.config.platform == "ensemble"
        assert repository.all_ready()

    asyncio.run(test())


def test_what_an_ensemble_lacks_is_named(tmp_path: Path) -> None:
    async def test() -> None:
        loader = FakeLoader()
        loader.fails["one", 1] = "it is broken"
        write_version(tmp_path, "one", 1)
        write_ensemble(tmp_path, "e", "one")
        write_ensemble(tmp_path, "e2", "nowhere")
        repository = Repository([tmp_path], loader)
        failures = {failure.name: failure.error.message for failure in await repository.start()}
        assert failures["e"].startswith(
            "ensemble 'e' depends on 'one' which has no loaded version. Model 'one' loading failed with "
        )
        assert failures["e2"] == "ensemble 'e2' contains models that are not available: 'nowhere'"

    asyncio.run(test())


def test_ensembles_of_each_other_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        write_ensemble(tmp_path, "e", "e2")
        write_ensemble(tmp_path, "e2", "e")
        repository = Repository([tmp_path], FakeLoader())
        failures = await repository.start()
        assert {failure.name for failure in failures} == {"e", "e2"}
        assert any("circular dependency between ensembles" in f.error.message for f in failures)

    asyncio.run(test())


def test_loading_an_ensemble_loads_its_steps_and_unloads_them_where_asked(tmp_path: Path) -> None:
    async def test() -> None:
        write_version(tmp_path, "one", 1)
        write_ensemble(tmp_path, "e", "one")
        repository = Repository([tmp_path], FakeLoader(), mode=ControlMode.EXPLICIT)
        await repository.start()
        await repository.load("e")
        assert {entry.name: entry.state for entry in repository.entries()} == {
            "e": State.READY,
            "one": State.READY,
        }
        repository.unload("e")
        await repository.idle()
        assert repository.lookup("one", "").name == "one"
        await repository.load("e")
        repository.unload("e", dependents=True)
        await repository.idle()
        for name in ("e", "one"):
            with pytest.raises(ServerError) as caught:
                repository.lookup(name, "")
            assert caught.value.code is Code.NOT_FOUND

    asyncio.run(test())
