from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from clockwork_triton.worker.cpu_kind import cpu_kind
from clockwork_triton.worker.device import DeviceOptions
from clockwork_triton.worker.devices import open_device


@pytest.fixture
def options() -> Iterator[DeviceOptions]:
    io_fd = os.memfd_create("test-io")
    os.ftruncate(io_fd, 8192)
    yield DeviceOptions(10_000, 100, 4096, slots=2, slot_bytes=4096, io_fd=io_fd)
    os.close(io_fd)


@pytest.mark.parametrize(
    ("name", "kind", "overlaps"),
    [
        ("cpu", cpu_kind(), False),
        ("cpu:1", cpu_kind(), False),
        ("emulated", "emulated", True),
        ("emulated:3", "emulated", True),
        ("emulated:tesla-v100", "tesla-v100", True),
    ],
)
def test_a_name_opens_a_device(options: DeviceOptions, name: str, kind: str, overlaps: bool) -> None:
    device = open_device(name, options)
    assert (device.kind, device.overlaps) == (kind, overlaps)
    assert (device.pages, device.page_bytes, device.workspace_bytes) == (2, 4096, 100)
    device.close()


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x", "tpu:0"])
def test_other_names_open_none(options: DeviceOptions, name: str) -> None:
    with pytest.raises(ValueError, match="no such device"):
        open_device(name, options)
