"""PyTorch's times for the same architectures at the same precision: the best of what it offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROUNDS = 200
WARM_UP = 30


def best_us(name: str, batch: int, precision: str) -> dict[str, float]:
    """Median microseconds of a forward pass by way of running it; empty for an architecture that is not here.

    ModuleNotFoundError without PyTorch.
    """
    import torch

    build = {"resnet50": _resnet50, "bert": _bert}.get(name)
    if build is None:
        return {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True
    found: dict[str, float] = {}
    with torch.inference_mode():
        for way in ("eager", "channels last"):
            model, x = build(torch, batch)
            model = model.cuda().eval()
            if precision == "fp16":
                model, x = model.half(), _half(torch, x)
            if way == "channels last":
                if x.dim() != 4:
                    continue
                model = model.to(memory_format=torch.channels_last)
                x = x.to(memory_format=torch.channels_last)

            def run(model: Any = model, x: Any = x) -> Any:
                return model(x)

            found[way] = _median_us(torch, run)
            found[f"{way}, graph"] = _median_us(torch, _captured(torch, run))
    return found


def _half(torch: Any, x: Any) -> Any:
    return x.half() if x.dtype == torch.float32 else x


def _median_us(torch: Any, run: Callable[[], Any]) -> float:
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


def _captured(torch: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    replay: Callable[[], Any] = graph.replay
    return replay


def _resnet50(torch: Any, batch: int) -> tuple[Any, Any]:
    import torchvision

    return torchvision.models.resnet50(weights=None), torch.randn(batch, 3, 224, 224, device="cuda")


def _bert(torch: Any, batch: int) -> tuple[Any, Any]:
    """The encoder of benchmarks.networks.bert."""
    width, heads, layers, tokens, vocabulary = 512, 8, 4, 128, 8192

    class Encoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.Embedding(vocabulary, width)
            self.positions = torch.nn.Parameter(torch.randn(tokens, width))
            layer = torch.nn.TransformerEncoderLayer(
                width, heads, 4 * width, activation="gelu", batch_first=True
            )
            self.norm = torch.nn.LayerNorm(width)
            self.layers = torch.nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
            self.pooler = torch.nn.Linear(width, width)

        def forward(self, ids: Any) -> Any:
            x = self.layers(self.norm(self.words(ids) + self.positions))
            return x, torch.tanh(self.pooler(x[:, 0]))

    return Encoder(), torch.randint(0, vocabulary, (batch, tokens), device="cuda")
