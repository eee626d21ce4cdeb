from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.converters.models import FLOAT, INT64, model, node
from tests.converters.test_convert import converted


@pytest.mark.parametrize(("operator", "lowest"), [("ArgMax", -np.inf), ("ArgMin", np.inf)])
def test_where_no_element_is_more_than_the_lowest_number_the_first_is_found(
    tmp_path: Path, operator: str, lowest: float
) -> None:
    proto = model(
        [node(operator, ["x"], ["y"], axis=1, keepdims=0)], {"x": (FLOAT, [2, 5])}, {"y": (INT64, [2])}
    )
    x = np.full((2, 5), lowest, np.float32)
    x[1, 3] = 0.0
    (y,) = converted(proto, tmp_path).run(1, [x])
    np.testing.assert_array_equal(y, [0, 3])
