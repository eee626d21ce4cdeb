from __future__ import annotations

import random

import pytest
from tritonclient.grpc import service_pb2

from benchmarks.malformed import damaged, grpc_seeds, http_seeds, infer_message, metrics_seeds, part
from clockwork_triton.frontend.http2 import frames


def test_the_seeds_are_of_their_protocols() -> None:
    assert all(b" HTTP/1.1\r\n" in seed for seed in http_seeds())
    assert all(seed.startswith(frames.PREFACE) for seed in grpc_seeds(random.Random(0)))
    assert service_pb2.ModelInferRequest.FromString(infer_message()).model_name == "simple"


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_chosen_by_the_seed_alone(seed: int) -> None:
    seeds = metrics_seeds()
    first, second = ([part(seeds, chosen) for _ in range(20)] for chosen in map(random.Random, (seed, seed)))
    assert first == second
    assert len(set(first)) > 5


def test_damage_is_small() -> None:
    chosen = random.Random(0)
    changed = [damaged(bytes(100), chosen) for _ in range(100)]
    assert all(80 < len(each) < 120 for each in changed)
    assert sum(each != bytes(100) for each in changed) > 90
