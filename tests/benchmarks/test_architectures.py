from __future__ import annotations

import numpy as np
import pytest

from benchmarks.architectures import BUILT, NAMES, PUBLISHED, build
from tests.models.running import on_onnxruntime, random_inputs

LARGE = {
    "alexnet",
    "bert",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "vgg19",
    "vit",
    "zfnet512",
}


def test_all_networks_have_names() -> None:
    assert len(NAMES) == len(PUBLISHED) + len(BUILT) == 13


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name in LARGE else []) for name in NAMES]
)
def test_answers_depend_on_the_input_and_on_nothing_else(name: str) -> None:
    model = build(name)
    inputs = random_inputs(model, 3)
    together = on_onnxruntime(model, inputs)
    alone = on_onnxruntime(model, {key: value[1:2] for key, value in inputs.items()})
    for whole, row in zip(together, alone, strict=True):
        scale = np.abs(whole).max()
        assert np.isfinite(whole).all()
        assert whole.std() > 1e-2 * scale
        assert np.abs(whole[0] - whole[1]).max() > 1e-3 * scale
        assert np.abs(whole[1:2] - row).max() < 1e-4 * scale


def test_the_batch_may_be_fixed() -> None:
    model = build("lstm", batch=4)
    tensors = [*model.graph.input, *model.graph.output]
    assert [tensor.type.tensor_type.shape.dim[0].dim_value for tensor in tensors] == [4] * len(tensors)
    states, last = on_onnxruntime(model, random_inputs(model, 4))
    np.testing.assert_allclose(states[:, -1], last, rtol=1e-6)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (build("squeezenet", seed=seed) for seed in (1, 1, 2))
    inputs = random_inputs(first, 1)
    (a,), (b,), (c,) = (on_onnxruntime(model, inputs) for model in (first, again, other))
    assert (a == b).all()
    assert np.abs(a - c).max() > 1e-3 * np.abs(a).max()
