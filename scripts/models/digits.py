"""`digits`: a small convolutional network trained on scikit-learn's handwritten digits.

Training takes the whole training set at every step, in double precision, and the weights are rounded to a
coarse grid at the end: so that the bytes do not depend on the order in which some machine adds numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from sklearn.datasets import load_digits

from scripts.models.graph import Graph

Array = np.ndarray[Any, Any]

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CHANNELS = 12, 24
STEPS, RATE, MOMENTUM, DECAY = 200, 0.2, 0.9, 1e-3
GRID = 2.0**-8


@dataclass
class Weights:
    """Convolutions as matrices [9 * channels in, channels out], with their biases."""

    conv1: Array
    bias1: Array
    conv2: Array
    bias2: Array
    dense: Array
    bias3: Array

    def arrays(self) -> list[Array]:
        return [self.conv1, self.bias1, self.conv2, self.bias2, self.dense, self.bias3]


def data() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Images [n, 8, 8, 1] of 0..16 with their labels: four fifths to train on, every fifth to test."""
    digits = load_digits()
    images, labels = digits.images[..., None], digits.target
    test = np.arange(len(labels)) % 5 == 4
    return (images[~test], labels[~test]), (images[test], labels[test])


def train() -> Weights:
    """Gradient descent with momentum on the cross entropy; deterministic, some seconds."""
    (images, labels), _ = data()
    target = np.eye(10)[labels]
    weights = _initial()
    velocity = [np.zeros_like(array) for array in weights.arrays()]
    for step in range(STEPS):
        rate = RATE * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        for array, speed, gradient in zip(
            weights.arrays(), velocity, _gradients(weights, images / 16, target), strict=True
        ):
            speed[...] = MOMENTUM * speed - rate * (gradient + DECAY * array)
            array[...] += speed
    for array in weights.arrays():
        array[...] = np.round(array / GRID) * GRID
    return weights


def accuracy(weights: Weights) -> float:
    """The fraction of the test images that are classified rightly."""
    _, (images, labels) = data()
    return float(np.mean(_forward(weights, images / 16)[-1].argmax(1) == labels))


def build() -> onnx.ModelProto:
    """image: FP32 [batch, 1, 8, 8] of 0..16, as scikit-learn has them. probabilities: FP32 [batch, 10]."""
    return to_onnx(train())


def to_onnx(weights: Weights) -> onnx.ModelProto:
    graph = Graph("digits")
    first, second = CHANNELS
    x = graph.input("image", ["batch", 1, 8, 8])
    x = graph.op("Mul", x, graph.constant(1 / 16))
    for name, matrix, bias, (inside, out), stride in (
        ("conv1", weights.conv1, weights.bias1, (1, first), 1),
        ("conv2", weights.conv2, weights.bias2, (first, second), 2),
    ):
        kernel = matrix.reshape(3, 3, inside, out).transpose(3, 2, 0, 1)
        x = graph.op(
            "Conv",
            x,
            graph.weight(f"{name}_weight", np.ascontiguousarray(kernel, np.float32)),
            graph.weight(f"{name}_bias", bias.astype(np.float32)),
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            strides=[stride, stride],
        )
        x = graph.op("Relu", x)
    # The network was trained with channels last, ONNX flattens with channels first.
    dense = weights.dense.reshape(4, 4, second, 10).transpose(2, 0, 1, 3).reshape(-1, 10)
    x = graph.op(
        "Gemm",
        graph.op("Flatten", x, axis=1),
        graph.weight("dense_weight", np.ascontiguousarray(dense, np.float32)),
        graph.weight("dense_bias", weights.bias3.astype(np.float32)),
    )
    graph.output(graph.op("Softmax", x, axis=1), "probabilities", ["batch", 10])
    return graph.model()


def _initial() -> Weights:
    random = np.random.RandomState(7)
    first, second = CHANNELS

    def he(rows: int, columns: int) -> Array:
        scaled: Array = random.standard_normal((rows, columns)) * np.sqrt(2.0 / rows)
        return scaled

    return Weights(
        he(9, first),
        np.zeros(first),
        he(9 * first, second),
        np.zeros(second),
        0.3 * he(16 * second, 10),
        np.zeros(10),
    )


def _patches(x: Array, stride: int) -> Array:
    """The 3x3 neighbourhoods of [n, h, w, c], padded with zeros: [n, h / stride, w / stride, 9 * c]."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    taken = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    return taken.reshape(*taken.shape[:3], -1)


def _scatter(gradient: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The transpose of `_patches`: adds every neighbourhood back to where it came from."""
    n, height, width, channels = shape
    total = np.zeros((n, height + 2, width + 2, channels))
    blocks = gradient.reshape(*gradient.shape[:3], 3, 3, channels)
    for row in range(3):
        for column in range(3):
            rows, columns = slice(row, row + height, stride), slice(column, column + width, stride)
            total[:, rows, columns] += blocks[:, :, :, row, column]
    return total[:, 1:-1, 1:-1]


def _forward(weights: Weights, images: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Neighbourhoods and activations of both layers, and the probabilities."""
    patches1 = _patches(images, 1)
    hidden1 = np.maximum(patches1 @ weights.conv1 + weights.bias1, 0)
    patches2 = _patches(hidden1, 2)
    hidden2 = np.maximum(patches2 @ weights.conv2 + weights.bias2, 0)
    logits = hidden2.reshape(len(images), -1) @ weights.dense + weights.bias3
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return patches1, hidden1, patches2, hidden2, raised / raised.sum(1, keepdims=True)


def _gradients(weights: Weights, images: Array, target: Array) -> list[Array]:
    """Of the mean cross entropy, in the order of `Weights.arrays`."""
    patches1, hidden1, patches2, hidden2, probabilities = _forward(weights, images)
    error = (probabilities - target) / len(images)
    flat = hidden2.reshape(len(images), -1)
    error2 = (error @ weights.dense.T).reshape(hidden2.shape) * (hidden2 > 0)
    error1 = _scatter(error2 @ weights.conv2.T, hidden1.shape, 2) * (hidden1 > 0)

    def of_conv(patches: Array, at: Array) -> Array:
        product: Array = patches.reshape(-1, patches.shape[-1]).T @ at.reshape(-1, at.shape[-1])
        return product

    return [
        of_conv(patches1, error1),
        error1.sum((0, 1, 2)),
        of_conv(patches2, error2),
        error2.sum((0, 1, 2)),
        flat.T @ error,
        error.sum(0),
    ]
