from __future__ import annotations

from dataclasses import replace

import pytest

from clockwork_triton.errors import NotHere
from clockwork_triton.gateway.table import ModelTable, write_table
from clockwork_triton.repository.model import EnsemblePlan, ServedModel
from tests.frontend.fakes import simple


def told(*models: ServedModel) -> ModelTable:
    table = ModelTable()
    table.read(write_table({(model.name, str(model.version)): model for model in models}))
    return table


def test_a_model_is_told_whole() -> None:
    model = simple()
    assert told(model).lookup("simple", "1") == model
    assert told(model).by_id(model.model_id) == model


@pytest.mark.parametrize("changes", [{"runtime": "onnxruntime"}, {"ensemble": EnsemblePlan(())}])
def test_what_a_front_end_cannot_lay_out_is_left_to_the_controllers_process(changes: object) -> None:
    assert isinstance(changes, dict)
    with pytest.raises(NotHere):
        told(replace(simple(), **changes)).lookup("simple", "1")
