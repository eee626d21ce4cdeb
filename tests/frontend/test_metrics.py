from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.errors import ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.gpu_sampler import GpuSampler
from clockwork_triton.frontend.host import HostSampler
from clockwork_triton.frontend.metrics import Metrics
from clockwork_triton.frontend.request import InferRequest, InputTensor
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.nvml import GpuState
from clockwork_triton.telemetry.gauges import ServerGauges, WorkerGauges
from clockwork_triton.telemetry.histogram import Histogram
from clockwork_triton.telemetry.latency_options import LatencyOptions
from clockwork_triton.telemetry.statistics import Statistics
from tests.compatibility import covers
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, simple

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? \S+$')


class Bench:
    def __init__(
        self,
        tmp_path: Path,
        gauges: ServerGauges | None = None,
        held: bool = False,
        latencies: LatencyOptions | None = None,
        cached: bool = False,
    ) -> None:
        (tmp_path / "stat").write_text("cpu  10 0 10 80 0 0 0 0 0 0\n")
        (tmp_path / "meminfo").write_text("MemTotal: 4 kB\nMemAvailable: 3 kB\n")
        self.engine = FakeEngine(held=held)
        model = simple(cached=cached)
        if cached:
            model.config.metric_tags["team"] = "vision"
        cache = ResponseCache(1 << 20) if cached else None
        self.clock = FakeClock()
        self.plane = DataPlane(
            FakeIndex([model]), self.engine, Statistics(latencies), self.clock, cache=cache
        )
        self.metrics = Metrics(self.plane, lambda: gauges or ServerGauges(), HostSampler(tmp_path))

    async def infer(self, **fields: int) -> None:
        """It lies unread for up to 3 ms; reading it takes 1 ms."""
        data = np.zeros(32, np.int32).tobytes()
        inputs = [InputTensor(f"INPUT{i}", "INT32", (2, 16), data) for i in (0, 1)]

        def decode() -> InferRequest:
            self.clock.now_ns += 1_000_000
            return InferRequest(inputs, **fields)

        await self.plane.infer("simple", "", decode, self.clock.now_ns - 3_000_000)

    def lines(self) -> list[str]:
        return self.metrics.render().splitlines()


@covers("metrics nv_inference_*")
def test_tritons_names_and_labels(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path)
        await bench.infer()
        await bench.infer()
        with pytest.raises(ServerError):
            await bench.infer(timeout_us=1)
        lines = bench.lines()
        for expected in (
            'nv_inference_request_success{model="simple",version="1"} 2',
            'nv_inference_request_failure{model="simple",reason="REJECTED",version="1"} 1',
            'nv_inference_request_failure{model="simple",reason="CANCELED",version="1"} 0',
            'nv_inference_request_failure{model="simple",reason="BACKEND",version="1"} 0',
            'nv_inference_request_failure{model="simple",reason="OTHER",version="1"} 0',
            'nv_inference_count{model="simple",version="1"} 4',
            'nv_inference_exec_count{model="simple",version="1"} 2',
            'nv_inference_request_duration_us{model="simple",version="1"} 2000',
            'nv_inference_queue_duration_us{model="simple",version="1"} 0',
            'nv_inference_compute_input_duration_us{model="simple",version="1"} 0',
            'nv_inference_compute_infer_duration_us{model="simple",version="1"} 0',
            'nv_inference_compute_output_duration_us{model="simple",version="1"} 0',
            'nv_inference_pending_request_count{model="simple",version="1"} 0',
            "nv_cpu_utilization 0.2",
            "nv_cpu_memory_total_bytes 4096",
            "nv_cpu_memory_used_bytes 1024",
            'clockwork_requests_refused_total{model="simple",version="1"} 1',
            'clockwork_requests_late_total{model="simple",version="1"} 0',
            'clockwork_request_duration_seconds_bucket{le="0.002",model="simple",version="1"} 0',
            'clockwork_request_duration_seconds_bucket{le="0.005",model="simple",version="1"} 2',
            'clockwork_request_duration_seconds_count{model="simple",version="1"} 2',
            "# TYPE nv_inference_request_success counter",
            "# TYPE nv_inference_pending_request_count gauge",
            "# TYPE clockwork_request_duration_seconds histogram",
        ):
            assert expected in lines, expected

    run(test())


def test_pending_requests(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path, held=True)
        tasks = [asyncio.ensure_future(bench.infer()) for _ in range(3)]
        await bench.engine.until_waiting(3)
        assert 'nv_inference_pending_request_count{model="simple",version="1"} 3' in bench.lines()
        for _ in range(3):
            bench.engine.release()
        await asyncio.gather(*tasks)
        assert 'nv_inference_pending_request_count{model="simple",version="1"} 0' in bench.lines()

    run(test())


def test_gpus_are_as_they_were_sampled(tmp_path: Path) -> None:
    async def test() -> None:
        state = GpuState("GPU-7", 0.5, None, None, None, None, None, 1410)
        metrics = Metrics(Bench(tmp_path).plane, gpus=GpuSampler(lambda: [state]))
        assert "GPU-7" not in metrics.render()
        await metrics.sample()
        assert 'clockwork_gpu_clock_mhz{gpu_uuid="GPU-7"} 1410' in metrics.render().splitlines()

    run(test())


def test_what_is_behind_the_front_end(tmp_path: Path) -> None:
    error = Histogram((1_000, 1_000_000))
    error.add(2_000)
    gauges = ServerGauges(
        workers=(WorkerGauges("0", "cpu", True, 2, 2**20, 2**30, loads=5, unloads=3, infers=100, refused=7),),
        load_seconds={("simple", 1): 1.5, ("other", 1): 9},
        prediction_errors={("INFER", "under"): error},
    )
    lines = Bench(tmp_path, gauges).lines()
    for expected in (
        'nv_model_load_duration_secs{model="simple",version="1"} 1.5',
        'clockwork_actions_total{action="LOAD",device="cpu",worker="0"} 5',
        'clockwork_actions_total{action="UNLOAD",device="cpu",worker="0"} 3',
        'clockwork_actions_total{action="INFER",device="cpu",worker="0"} 100',
        'clockwork_device_memory_used_bytes{device="cpu",worker="0"} 1048576',
        'clockwork_device_memory_limit_bytes{device="cpu",worker="0"} 1073741824',
        'clockwork_prediction_error_seconds_bucket{action="INFER",direction="under",le="0.001"} 1',
        'clockwork_prediction_error_seconds_sum{action="INFER",direction="under"} 2e-06',
    ):
        assert expected in lines, expected
    assert not any('model="other"' in line for line in lines)


def test_the_text_is_well_formed_and_no_metric_comes_twice(tmp_path: Path) -> None:
    lines = Bench(tmp_path).lines()
    assert all(line.startswith("# ") or SAMPLE.match(line) for line in lines)
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


@covers("metrics nv_cache_*")
@covers("metric_tags")
def test_the_cache_has_counters_where_a_model_uses_it(tmp_path: Path) -> None:
    async def test() -> None:
        bench = Bench(tmp_path, cached=True)
        for _ in range(3):
            await bench.infer()
        lines = bench.lines()
        labels = '{model="simple",team="vision",version="1"}'
        assert f"nv_cache_num_hits_per_model{labels} 2" in lines
        assert f"nv_cache_num_misses_per_model{labels} 1" in lines
        assert f"nv_cache_hit_duration_per_model{labels} 0" in lines
        assert f"nv_inference_request_success{labels} 3" in lines
        assert f"nv_inference_count{labels} 2" in lines
        assert not [line for line in Bench(tmp_path).lines() if line.startswith("nv_cache")]

    run(test())


@covers(
    "--metrics-config",
    "different",
    "the histogram of first responses is of all models, where Triton has it of decoupled ones",
)
def test_latencies_come_in_the_forms_asked_for(tmp_path: Path) -> None:
    async def test() -> None:
        options = LatencyOptions(False, True, True, (0.5, 0.99))
        bench = Bench(tmp_path, latencies=options)
        assert 'nv_inference_queue_summary_us{model="simple",quantile="0.5",version="1"} Nan' in bench.lines()
        await bench.infer()
        lines = bench.lines()
        for expected in (
            'nv_inference_request_summary_us{model="simple",quantile="0.99",version="1"} 1000',
            'nv_inference_request_summary_us_sum{model="simple",version="1"} 1000',
            'nv_inference_request_summary_us_count{model="simple",version="1"} 1',
            'nv_inference_compute_infer_summary_us{model="simple",quantile="0.5",version="1"} 0.1',
            'nv_inference_first_response_histogram_ms_bucket{le="100",model="simple",version="1"} 1',
            "# TYPE nv_inference_queue_summary_us summary",
        ):
            assert expected in lines
        assert not [line for line in lines if line.startswith("nv_inference_request_duration_us")]
        usual = "\n".join(Bench(tmp_path).lines())
        assert "summary" not in usual
        assert "first_response" not in usual
        assert "nv_inference_request_duration_us" in usual

    run(test())
