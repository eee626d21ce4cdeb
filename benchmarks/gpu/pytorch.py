"""PyTorch's times for the same networks at the same precision, by each way of running them that it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from benchmarks.gpu.kit import Model
from benchmarks.gpu.results import Failure, Torch
from benchmarks.gpu.torch_networks import KINDS, TOKENS, VOCABULARY, Bert, ResNet50

ROUNDS = 200
WARM_UP = 30

Run = Callable[[], Any]


def compare(models: Sequence[Model], device: int, until: float) -> Iterator[Torch | Failure]:
    """Every way of every model and batch size, or why not."""
    if not torch.cuda.is_available():
        yield Failure("PyTorch", "PyTorch sees no GPU")
        return
    torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    for model in models:
        ways = WAYS.get(model.name)
        if ways is None:
            yield Failure(f"PyTorch {model.key}", "there is no such network in PyTorch here")
            continue
        exact = model.precision == "fp32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not exact
        for batch in model.batches:
            for way, build in ways.items():
                yield from _ways(model, batch, way, build, until)


def _ways(
    model: Model, batch: int, way: str, build: Callable[[int, str], Run], until: float
) -> Iterator[Torch | Failure]:
    """As it is, and as a graph: where that cannot be captured, the first stays."""
    for name, prepare in ((way, lambda run: run), (f"{way}, graph", _captured)):
        # Of the first of its failures by name, none is more telling than another.
        step = f"PyTorch {model.key} {batch}"
        if time.monotonic() > until:
            yield Failure(step, f"{name}: there was no time left")
            continue
        try:
            with torch.inference_mode():
                us = _median_us(prepare(build(batch, model.precision)))
            yield Torch(model.key, batch, name, us)
        except Exception as error:
            yield Failure(step, f"{name}: {type(error).__name__}: {error}")


def _median_us(run: Run) -> float:
    for _ in range(WARM_UP):
        run()
    times = []
    for _ in range(ROUNDS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return float(sorted(times)[len(times) // 2])


def _captured(run: Run) -> Run:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    replay: Run = graph.replay
    return replay


def _on_gpu(network: Any, precision: str) -> Any:
    network = network.cuda().eval()
    return network.half() if precision == "fp16" else network


def _resnet50(batch: int, precision: str, layout: Any) -> Run:
    network = _on_gpu(ResNet50(), precision).to(memory_format=layout)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=dtype).to(memory_format=layout)
    return lambda: network(x)


def _bert(batch: int, precision: str, *, encoder: bool) -> Run:
    network = _on_gpu(Bert(encoder=encoder), precision)
    ids, mask, kinds = (
        torch.randint(0, limit, (batch, TOKENS), device="cuda") for limit in (VOCABULARY, 2, KINDS)
    )
    # The first token is never padding, or a row could have nothing to attend to.
    mask[:, 0] = 1
    return lambda: network(ids, mask, kinds)


WAYS: dict[str, dict[str, Callable[[int, str], Run]]] = {
    "resnet50": {
        "eager": lambda batch, precision: _resnet50(batch, precision, torch.contiguous_format),
        "channels last": lambda batch, precision: _resnet50(batch, precision, torch.channels_last),
    },
    "bert": {
        "its encoder": lambda batch, precision: _bert(batch, precision, encoder=True),
        "fused attention": lambda batch, precision: _bert(batch, precision, encoder=False),
    },
}
