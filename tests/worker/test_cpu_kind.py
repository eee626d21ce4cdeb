from __future__ import annotations

import re

import pytest

from clockwork_triton.worker.cpu_kind import cpu_kind

EPYC = """processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9654 96-Core Processor

processor\t: 1
cpu family\t: 1
"""
XEON = "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("cpuinfo", "threads", "kind"),
    [
        (EPYC, 1, "cpu-amd-epyc-9654-f25-m17-1t"),
        (XEON, 4, "cpu-intel-xeon-platinum-8481c-f6-m143-4t"),
        (ARM, 1, "cpu-i0x41-p0xd40-1t"),
        ("", 2, "cpu-riscv64-2t"),
        ("model name\t: ../..\\x/y\n", 1, "cpu-x-y-1t"),
    ],
)
def test_the_kind_names_the_cpu(cpuinfo: str, threads: int, kind: str) -> None:
    assert cpu_kind(threads, cpuinfo, "riscv64") == kind


def test_this_cpu_has_a_kind_that_can_name_a_file() -> None:
    assert re.fullmatch(r"cpu(-[a-z0-9]+)+-1t", cpu_kind())
