from __future__ import annotations

import re
from pathlib import Path

from clockwork_triton.repository.config import read_config

ROOT = Path(__file__).parent.parent


def test_the_example_fits_the_model_it_names() -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    example = block[1]
    asked = re.search(r'InferInput\("(\w+)", \[([\d, ]+)\], "FP32"\)', example)
    called = re.search(r'infer\("(\w+)".*as_numpy\("(\w+)"\)', example)
    assert asked is not None
    assert called is not None
    config = read_config(ROOT / "model_repository" / called[1])
    assert [tensor.name for tensor in config.input] == [asked[1]]
    assert [int(dim) for dim in asked[2].split(",")][1:] == list(config.input[0].dims)
    assert called[2] in [tensor.name for tensor in config.output]
    compile(example, "README.md", "exec")
