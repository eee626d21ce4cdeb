from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clockwork_triton.errors import Code, NotHere
from clockwork_triton.gateway.table import ModelTable, write_table
from clockwork_triton.repository.model import EnsemblePlan
from tests.frontend.fakes import simple


def test_models_arrive_as_they_were() -> None:
    old, new = simple(), simple(version=2, model_id=2)
    table = ModelTable()
    table.read(write_table({("simple", "1"): old, ("simple", "2"): new, ("simple", ""): new}))
    assert table.lookup("simple", "") == table.lookup("simple", "2") == new
    assert table.lookup("simple", "1") == old
    assert table.by_id(1) == old
    assert table.served() == [old, new]


def test_a_model_that_stays_stays_the_same_object() -> None:
    table = ModelTable()
    table.read(write_table({("simple", ""): simple()}))
    first = table.lookup("simple", "")
    table.read(write_table({("simple", ""): simple(), ("simple", "2"): simple(version=2, model_id=2)}))
    assert table.lookup("simple", "") is first
    table.read(write_table({("simple", ""): simple(max_batch_size=4)}))
    assert table.lookup("simple", "") is not first


@pytest.mark.parametrize(("name", "version"), [("other", ""), ("simple", "2"), ("simple", "01")])
def test_what_is_not_there_may_be_elsewhere(name: str, version: str) -> None:
    table = ModelTable()
    table.read(write_table({("simple", ""): simple(), ("simple", "1"): simple()}))
    with pytest.raises(NotHere) as missing:
        table.lookup(name, version)
    assert missing.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("changes", [{"runtime": "onnxruntime"}, {"ensemble": EnsemblePlan(())}])
def test_what_a_front_end_cannot_lay_out_is_left_to_the_controllers_process(changes: dict[str, Any]) -> None:
    table = ModelTable()
    table.read(write_table({("simple", ""): replace(simple(), **changes)}))
    with pytest.raises(NotHere):
        table.lookup("simple", "")
