"""The networks of benchmarks.architectures in PyTorch, layer by layer the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, LAYERS, TOKENS, VOCABULARY, KINDS = 512, 8, 4, 128, 8192, 100


class Bottleneck(nn.Module):  # type: ignore[misc]
    """Of ResNet v1.5: the 3x3 convolution is the one that strides."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.reduce = _normed(channels, width, 1)
        self.convolve = _normed(width, width, 3, stride)
        self.expand = _normed(width, out, 1)
        self.skip = _normed(channels, out, 1, stride) if channels != out or stride > 1 else nn.Identity()

    def forward(self, x: Any) -> Any:
        inner = functional.relu(self.convolve(functional.relu(self.reduce(x))))
        return functional.relu(self.expand(inner) + self.skip(x))


def _normed(channels: int, out: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out))


class ResNet50(nn.Module):  # type: ignore[misc]
    """image: [batch, 3, 224, 224]; probabilities: [batch, 1000]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _normed(3, 64, 7, 2)
        blocks: list[nn.Module] = []
        channels = 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(count):
                blocks.append(Bottleneck(channels, width, 1 if number else stride))
                channels = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, 1000)

    def forward(self, x: Any) -> Any:
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2, padding=1)
        x = functional.adaptive_avg_pool2d(self.blocks(x), 1).flatten(1)
        return functional.softmax(self.classifier(x), 1)


class Bert(nn.Module):  # type: ignore[misc]
    """ids, mask, kinds: int64 [batch, 128]; the states [batch, 128, 512] and the first one's pooled.

    `encoder`: PyTorch's own, which has a fast path for whole layers; without it, layers of matrix products
    around its fused attention.
    """

    def __init__(self, *, encoder: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.kinds = nn.Embedding(KINDS, WIDTH)
        self.positions = nn.Parameter(torch.randn(TOKENS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.pooler = nn.Linear(WIDTH, WIDTH)
        self.encoder: nn.TransformerEncoder | None = None
        if encoder:
            layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, activation="gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        else:
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Any, mask: Any, kinds: Any) -> Any:
        x = self.norm(self.words(ids) + self.kinds(kinds) + self.positions)
        if self.encoder is not None:
            x = self.encoder(x, src_key_padding_mask=mask == 0)
        else:
            penalty = ((1.0 - mask.to(x.dtype)) * -10000.0)[:, None, None, :]
            for layer in self.layers:
                x = layer(x, penalty)
        return x, torch.tanh(self.pooler(x[:, 0]))


class Layer(nn.Module):  # type: ignore[misc]
    """Self-attention and a feed-forward block, each normalised after it."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.merge = nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Any, penalty: Any) -> Any:
        batch = x.shape[0]
        parts = self.project(x).view(batch, TOKENS, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts.unbind(0), attn_mask=penalty)
        x = self.norm1(x + self.merge(mixed.transpose(1, 2).reshape(batch, TOKENS, WIDTH)))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))
