"""MetaSchedule finds schedules for kernels that no template knows. A minute: it starts processes."""

from __future__ import annotations

import numpy as np
import pytest
import tvm

from converters.schedules.cpu.search import search_the_rest
from tests.converters.schedules.harness import best, random, unscheduled_product


@pytest.mark.long
# MetaSchedule leaves its processes to the collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_schedule_is_found_and_right() -> None:
    target = tvm.target.Target(dict(best()))
    plain = unscheduled_product(32, 48, 64)
    found = search_the_rest(target, 4)(plain)["matmul"]
    assert found.attrs["tirx.is_scheduled"]
    library = tvm.compile(found.with_attr("global_symbol", "matmul"), target=target)
    left, right = random(32, 48).astype(np.float64), random(48, 64).astype(np.float64)
    product = tvm.runtime.tensor(np.zeros((32, 64)))
    library["matmul"](tvm.runtime.tensor(left), tvm.runtime.tensor(right), product)
    np.testing.assert_allclose(product.numpy(), left @ right, rtol=1e-12, atol=1e-12)
