from __future__ import annotations

import pytest
from tritonclient.grpc import model_config_pb2

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.frontend.shapes import TensorRule, format_shape, tensor_rules


def configured(*tensors: tuple[str, list[int]]) -> list[object]:
    return [model_config_pb2.ModelInput(name=name, dims=dims) for name, dims in tensors]


def test_the_order_is_the_configurations_and_the_index_the_artifacts() -> None:
    specs = [TensorSpec("A", "float32", (2,)), TensorSpec("B", "int8", (3, 4)), TensorSpec("C", "bool", ())]
    rules = tensor_rules(specs, configured(("B", [3, 4]), ("A", [2])))
    assert rules == (
        TensorRule(1, "B", "INT8", (3, 4), 12),
        TensorRule(0, "A", "FP32", (2,), 8),
        TensorRule(2, "C", "BOOL", (), 1),
    )


@pytest.mark.parametrize(
    ("dims", "shape", "expected"),
    [
        ([1], (), (1,)),
        ([-1], (7,), (7,)),
        ([-1, 2], (3, 2), (3, 2)),
        ([6], (2, 3), (6,)),
        ([2, -1], (6,), (2, 3)),
    ],
)
def test_clients_see_the_shape_before_reshape(
    dims: list[int], shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    (rule,) = tensor_rules([TensorSpec("A", "float32", shape)], configured(("A", dims)))
    assert rule.dims == expected


def test_strings_have_elements_but_no_size() -> None:
    (rule,) = tensor_rules([TensorSpec("A", "object", (2, 3))], [])
    assert (rule.datatype, rule.row_bytes, rule.row_elements) == ("BYTES", None, 6)


def test_format_shape() -> None:
    assert format_shape((-1, 16)) == "[-1,16]"
    assert format_shape(()) == "[]"
