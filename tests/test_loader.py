from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton.artifact import Profile
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.controller.commands import Calibrated
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.inference import Done, InferenceAnswer, InferenceCall, Moments
from clockwork_triton.loader import ArtifactLoader
from clockwork_triton.repository.loader import LoadedModel, ModelSource
from clockwork_triton.repository.model import MemoryUse
from clockwork_triton.repository.warmup import WarmupSample
from converters.request import ConversionRequest
from tests.worker import tiny

LOAD_NS = 300_000
CONFIG = ModelConfig(max_batch_size=4)
CONFIG.instance_group.add(kind="KIND_CPU")


class FakeEngine:
    """One worker, on which every INFER takes a microsecond a row; and the engine's models in one."""

    def __init__(self) -> None:
        self.models = self
        self.calibrations = 0
        self.scheduled: dict[int, Mapping[str, Estimate]] = {}
        self.calls: list[InferenceCall] = []
        self.retired: list[int] = []
        self.alone: list[int] = []
        """Sizes that were scheduled without others."""
        self.failure: ServerError | None = None
        self.compute: Callable[[InferenceCall], tuple[bytes, ...]] = lambda call: ()

    def device_kinds(self, workers: frozenset[int]) -> tuple[str, ...]:
        assert workers == {0}
        return ("toy",)

    async def register(self, name: str, artifact: Path, workers: frozenset[int]) -> int:
        assert workers == {0}
        return 1

    async def calibrate(
        self, model_id: int, kind: str, rough: Estimate, loads: int, runs: Mapping[int, int]
    ) -> Calibrated:
        self.calibrations += 1
        infer_ns = {size: (1000 * size,) * count for size, count in runs.items()}
        return Calibrated(model_id, kind, (LOAD_NS,) * loads, infer_ns)

    def submit(self, call: InferenceCall, done: Done) -> int:
        self.calls.append(call)
        moments = Moments(0, 0, 0, 0, 0)
        answer = InferenceAnswer(self.compute(call), 1, call.rows, 0, 0, 0, 0, moments)
        asyncio.get_running_loop().call_soon(done, self.failure or answer)
        return len(self.calls)

    async def retire(self, model_id: int) -> None:
        self.retired.append(model_id)

    def schedule(self, model_id: int, estimates: Mapping[str, Estimate]) -> None:
        self.scheduled[model_id] = estimates
        sizes = [size for estimate in estimates.values() for size in estimate.infer_ns]
        self.alone += sizes if len(sizes) == 1 else []


@dataclass
class FakePool:
    found: Path
    fallbacks: list[bool] = field(default_factory=list)

    async def convert(self, request: ConversionRequest, progress: object, *, fallback: bool) -> Path:
        assert request.target == "cpu"
        self.fallbacks.append(fallback)
        return self.found


def load(engine: Any, artifact: Path) -> LoadedModel:
    """Loads an artifact that the pool finds."""
    loader = ArtifactLoader(FakePool(artifact), engine, lambda _: None)  # type: ignore[arg-type]
    source = ModelSource("tiny", 1, artifact, CONFIG, {})

    async def through() -> LoadedModel:
        return await loader.load(source, await loader.convert(source))

    loaded = asyncio.run(through())
    assert loader.load_seconds["tiny", 1] >= 0
    return loaded


def test_a_profile_is_measured_once_and_kept(tmp_path: Path) -> None:
    artifact = tiny.write(tmp_path / "tiny", None)
    engine = FakeEngine()
    loaded = load(engine, artifact)
    assert (loaded.load_ns, loaded.infer_ns) == (LOAD_NS, {1: 1000, 2: 2000, 4: 4000})
    assert engine.calibrations == 2, "a glance, then the profile"
    assert Profile.read(artifact, "toy") is not None
    assert load(engine, artifact) == loaded
    assert engine.calibrations == 2


def test_what_the_converter_could_not_check_is_checked_before_it_has_a_profile(tmp_path: Path) -> None:
    artifact = tiny.write(tmp_path / "tiny", None)
    row = np.linspace(1, 2, tiny.WIDTH, dtype=np.float32).reshape(1, -1)
    Expectation((row,), (row,), (1e-3,), "onnxruntime").write(artifact)
    engine = FakeEngine()
    engine.compute = lambda call: tuple(bytes(len(data)) for data in call.inputs)
    with pytest.raises(ServerError, match="on toy the compiled model 'tiny' disagrees with onnxruntime"):
        load(engine, artifact)
    assert engine.retired == [1]
    assert Profile.read(artifact, "toy") is None
    engine.compute = lambda call: call.inputs  # type: ignore[return-value]
    engine.calls.clear()
    engine.alone.clear()
    load(engine, artifact)
    asked = [1, 1, 1, 2, 1, 1, 1, 1, 4]
    assert [call.rows for call in engine.calls] == engine.alone == asked
    assert engine.scheduled[1]["toy"].infer_ns.keys() == {1, 2, 4}
    load(engine, artifact)
    assert len(engine.calls) == 9, "once is enough"


def test_a_cache_that_cannot_be_written_still_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    artifact = tiny.write(tmp_path / "tiny", None)
    monkeypatch.setattr(Profile, "write", fail)
    engine = FakeEngine()
    with caplog.at_level(logging.WARNING):
        assert load(engine, artifact).load_ns == LOAD_NS
    assert engine.scheduled[1]["toy"].load_ns == LOAD_NS
    assert f"the profile is not kept: cannot write to {artifact}: Read-only file system" in caplog.text


@pytest.mark.parametrize("fallback", [False, True])
def test_texts_may_always_run_without_compiling_the_rest_where_it_is_allowed(
    tmp_path: Path, fallback: bool
) -> None:
    pool = FakePool(tmp_path)
    loader = ArtifactLoader(pool, FakeEngine(), lambda _: None, fallback=fallback)  # type: ignore[arg-type]
    for kind in ("TYPE_FP32", "TYPE_STRING"):
        config = ModelConfig(max_batch_size=4)
        config.input.add(name="X", data_type=kind)
        asyncio.run(loader.convert(ModelSource("m", 1, tmp_path, config, {})))
    assert pool.fallbacks == [fallback, True]


def test_warmup_samples_are_answered_before_a_model_is_loaded(tmp_path: Path) -> None:
    artifact = tiny.write(tmp_path / "tiny", None)
    engine = FakeEngine()
    loader = ArtifactLoader(FakePool(artifact), engine, lambda _: None)  # type: ignore[arg-type]
    config = ModelConfig()
    config.CopyFrom(CONFIG)
    config.input.add(name="x", data_type="TYPE_FP32", dims=[tiny.WIDTH])
    sample = WarmupSample("s", 3, 2, {"x": bytes(range(16))}, {"x": (tiny.WIDTH,)})
    source = ModelSource("tiny", 1, artifact, config, {}, warmup=(sample,))

    async def through() -> LoadedModel:
        return await loader.load(source, await loader.convert(source))

    loaded = asyncio.run(through())
    assert loaded.memory == (MemoryUse("CPU", 0, 3 * tiny.PAGE),)
    assert [(call.rows, call.inputs) for call in engine.calls] == [(3, (bytes(range(16)) * 3,))] * 2
    engine.failure = ServerError(Code.INTERNAL, "the device failed")
    with pytest.raises(ServerError, match="failed to run warmup sample 's': the device failed"):
        asyncio.run(through())
    assert engine.retired == [1]
