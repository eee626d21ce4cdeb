"""The models in model_repository/: made by their scripts, and as their configurations say."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from clockwork_triton.repository.plan import ConfigOptions, plan_model, prepare_version
from clockwork_triton.repository.scan import scan
from scripts.models import digits
from scripts.models.__main__ import BUILDERS, REPOSITORY, serialise
from tests.models.running import assert_agree, on_onnxruntime, on_tvm, random_inputs

COMPILED = sorted(name for name in BUILDERS if "string" not in name and "identity" not in name)
"""Those without texts."""
ALONE = [name for name in COMPILED if "sequence" not in name and "int8" not in name]
"""Those whose requests stand for themselves, in numbers that do not overflow."""


def shipped(name: str) -> onnx.ModelProto:
    return onnx.load(REPOSITORY / name / "1" / "model.onnx")


def signature(model: onnx.ModelProto) -> Signature:
    def tensors(values: list[onnx.ValueInfoProto]) -> tuple[SignatureTensor, ...]:
        return tuple(
            SignatureTensor(
                value.name,
                str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
                tuple(dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim),
            )
            for value in values
        )

    return Signature(tensors(model.graph.input), tensors(model.graph.output))


def test_every_model_has_a_script() -> None:
    assert sorted(scan([REPOSITORY])) == sorted(BUILDERS)


@pytest.mark.parametrize("name", sorted(BUILDERS.keys() - {"digits"}))
def test_the_script_makes_the_same_bytes(name: str) -> None:
    assert serialise(BUILDERS[name]()) == (REPOSITORY / name / "1" / "model.onnx").read_bytes()


@pytest.mark.long
def test_training_makes_the_same_bytes() -> None:
    assert serialise(digits.build()) == (REPOSITORY / "digits" / "1" / "model.onnx").read_bytes()


def test_the_repository_is_small() -> None:
    files = [path for path in REPOSITORY.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000


@pytest.mark.parametrize("name", BUILDERS)
def test_the_configuration_fits_the_file(name: str) -> None:
    options = ConfigOptions()
    plan = plan_model(name, REPOSITORY / name, [1], options)
    assert plan.notices == ()
    prepared = prepare_version(plan, 1, signature(shipped(name)), options)
    assert prepared.source.config.max_batch_size in (8, 16)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_configuration_says_what_auto_completion_would(name: str) -> None:
    options = ConfigOptions()
    plan = plan_model(name, REPOSITORY / name, [1], options)
    written = prepare_version(plan, 1, signature(shipped(name)), options).source
    del plan.config.input[:], plan.config.output[:]
    found = prepare_version(plan, 1, signature(shipped(name)), options).source
    assert written.shapes == found.shapes
    assert [list(output.dims) for output in written.config.output] == [
        list(output.dims) for output in found.config.output
    ]


def test_simple_adds_and_subtracts() -> None:
    x, y = np.arange(32, dtype=np.int32).reshape(2, 16), np.full((2, 16), 5, np.int32)
    total, difference = on_onnxruntime(shipped("simple"), {"INPUT0": x, "INPUT1": y})
    assert (total == x + y).all()
    assert (difference == x - y).all()


def test_strings_are_added_and_given_back() -> None:
    x, y = (np.array([[str(i * k) for i in range(16)]], object) for k in (1, -3))
    total, difference = on_onnxruntime(shipped("simple_string"), {"INPUT0": x, "INPUT1": y})
    assert total.tolist() == [[str(-2 * i) for i in range(16)]]
    assert difference.tolist() == [[str(4 * i) for i in range(16)]]
    (same,) = on_onnxruntime(shipped("simple_identity"), {"INPUT0": x[:, :3]})
    assert same.tolist() == x[:, :3].tolist()


def test_digits_are_recognised_as_its_readme_says() -> None:
    _, (images, labels) = digits.data()
    batch = images.reshape(-1, 1, 8, 8).astype(np.float32)
    (probabilities,) = on_onnxruntime(shipped("digits"), {"image": batch})
    right = int((probabilities.argmax(1) == labels).sum())
    readme = (REPOSITORY / "digits" / "README.md").read_text()
    assert f"{right} of the {len(labels)} test images" in readme
    assert f"accuracy of {100 * right / len(labels):.1f} %" in readme
    assert tuple((REPOSITORY / "digits" / "labels.txt").read_text().split()) == digits.LABELS


@pytest.mark.parametrize("name", ALONE)
def test_outputs_depend_on_inputs_and_rows_on_their_own(name: str) -> None:
    model = shipped(name)
    inputs = random_inputs(model, 3)
    together = on_onnxruntime(model, inputs)
    alone = on_onnxruntime(model, {key: value[1:2] for key, value in inputs.items()})
    for whole, row in zip(together, alone, strict=True):
        assert np.ptp(whole) > 1e-3
        assert not np.allclose(whole[0], whole[1])
        np.testing.assert_allclose(whole[1:2], row, rtol=1e-4, atol=1e-5)


def test_the_encoder_survives_ids_it_does_not_know() -> None:
    inputs = random_inputs(shipped("encoder"), 2)
    inputs["input_ids"][:] = np.iinfo(np.int64).max
    inputs["attention_mask"][:] = -7
    outputs = on_onnxruntime(shipped("encoder"), inputs)
    assert all(np.isfinite(output).all() for output in outputs)


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", COMPILED)
def test_tvm_imports_and_agrees(name: str, batch: int) -> None:
    model = shipped(name)
    inputs = random_inputs(model, batch)
    assert_agree(on_tvm(model, inputs), on_onnxruntime(model, inputs))
