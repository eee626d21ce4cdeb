"""Published profiles of models on a V100.

`CLOCKWORK_ZOO`: from the `model.measurements` files of Clockwork's model zoo (LOAD, and INFER by batch size),
with the sizes in 16 MiB pages. `SHEPHERD_ZOO`: table 4 of Shepherd (NSDI 2023), whose INFER time for a batch
of B is alpha * B + beta; weights are not published there, so sizes are those of common fp32 checkpoints and
LOAD is their bytes over the 12.2 GB/s that Clockwork's zoo shows.
"""

from __future__ import annotations

from clockwork_triton.controller.specs import Estimate

PAGE_BYTES = 16 << 20
# 21.5 GiB of weights cache on a V100 of 32 GB.
V100_PAGES = 1376
V100 = "v100"
LINK_BYTES_PER_NS = 12.2
SIZES = (1, 2, 4, 8, 16)


def _measured(load_ms: float, *infer_ms: float) -> Estimate:
    infer_ns = {size: round(ms * 1e6) for size, ms in zip(SIZES, infer_ms, strict=True)}
    return Estimate(round(load_ms * 1e6), infer_ns)


def _linear(alpha_ms: float, beta_ms: float, megabytes: float) -> tuple[Estimate, int]:
    infer_ns = {size: round((alpha_ms * size + beta_ms) * 1e6) for size in SIZES}
    weights = megabytes * 1e6
    return Estimate(round(weights / LINK_BYTES_PER_NS), infer_ns), -int(-weights // PAGE_BYTES)


CLOCKWORK_ZOO: dict[str, tuple[Estimate, int]] = {
    "resnet18_v2": (_measured(3.848, 1.632, 2.508, 3.617, 6.628, 11.855), 3),
    "resnet50_v2": (_measured(8.372, 3.322, 5.271, 7.495, 12.439, 21.729), 7),
    "resnet152_v2": (_measured(19.684, 9.131, 14.770, 22.506, 34.959, 61.552), 15),
}

SHEPHERD_ZOO: dict[str, tuple[Estimate, int]] = {
    "resnet18": _linear(0.22, 3.74, 46.8),
    "resnet34": _linear(0.38, 5.78, 87.3),
    "resnet50": _linear(0.75, 7.96, 102.5),
    "resnet101": _linear(1.25, 13.57, 178.7),
    "resnet152": _linear(1.77, 18.98, 241.6),
    "resnest50": _linear(1.18, 15.39, 110.1),
    "resnest101": _linear(1.91, 29.21, 193.5),
    "resnest200": _linear(3.35, 45.43, 281.7),
    "resnest269": _linear(4.37, 74.20, 445.6),
    "densenet121": _linear(0.69, 19.96, 32.3),
    "densenet161": _linear(1.74, 23.10, 115.7),
    "densenet169": _linear(0.83, 27.47, 57.3),
    "densenet201": _linear(1.12, 32.33, 81.1),
    "googlenet": _linear(0.25, 8.41, 26.6),
    "inception3": _linear(0.96, 11.77, 108.9),
    "fast_rcnn": _linear(2.59, 14.90, 167.1),
    "bert_base": _linear(40.98, 5.67, 438.0),
}

ZOO = CLOCKWORK_ZOO | SHEPHERD_ZOO
