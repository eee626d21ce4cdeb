from __future__ import annotations

import numpy as np

from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.datatypes import TensorSpec
from converters.samples import Sampler

INPUTS = (
    TensorSpec("input_ids", "int64", (50,)),
    TensorSpec("attention_mask", "int64", (50,)),
    TensorSpec("counts", "int32", (50,)),
    TensorSpec("flags", "bool", (50,)),
    TensorSpec("pixels", "float32", (50,)),
)
MANIFEST = Manifest("model", "llvm", 4, INPUTS, (), 4096, (), {}, {})


def test_each_input_is_drawn_from_what_it_can_take() -> None:
    ids, mask, counts, flags, pixels = Sampler(MANIFEST, {"input_ids": 7}, (1, 10)).inputs(4)
    assert set(np.unique(ids)) == set(range(7))
    assert set(np.unique(mask)) == {0, 1}
    assert set(np.unique(counts)) == set(range(1, 10))
    assert flags.dtype == bool
    assert pixels.shape == (4, 50)
    assert 0.5 < pixels.std() < 1.5


def test_the_same_arguments_give_the_same_inputs() -> None:
    sampler = Sampler(MANIFEST, {}, (1, 10))
    for first, second in zip(sampler.inputs(2), sampler.inputs(2), strict=True):
        assert np.array_equal(first, second)
    assert not np.array_equal(sampler.inputs(2)[4], sampler.inputs(2, seed=1)[4])
