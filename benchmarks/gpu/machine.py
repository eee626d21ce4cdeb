"""What the machine is, and what of it stands in the way of times that repeat."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict

from benchmarks.gpu.results import Failure, Findings, Machine, Record
from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.cuda.libcuda import facts


def machine(device: int) -> Iterator[Record]:
    """A failure named "machine" if there is no such GPU. What the driver itself says comes first: whoever
    else is asked may be slow, or hang, beside a GPU that works."""
    try:
        gpu = facts(device)
    except CudaError as error:
        yield Failure("machine", str(error))
        return
    yield Machine(
        {
            "GPU": gpu.name,
            "compute capability": ".".join(map(str, gpu.capability)),
            "multiprocessors": gpu.multiprocessors,
            "memory": f"{gpu.memory_bytes >> 20} MiB",
            "Python": sys.version.split()[0],
        }
    )
    try:
        from clockwork_triton.doctor.checks import examine
        from clockwork_triton.doctor.facts import gather
        from clockwork_triton.doctor.finding import Verdict
        from clockwork_triton.nvml import Nvml
        from clockwork_triton.worker.cuda.clocks import PERIOD_S

        nvml = Nvml.open()
        yield Machine(
            {
                "driver": nvml.driver_version if nvml is not None else "unknown",
                "clock": f"asked for every {1000 * PERIOD_S:g} ms" if nvml is not None else "not followed",
            }
        )
        yield Findings(
            [
                {**asdict(finding), "verdict": finding.verdict.value}
                for finding in examine(gather(lambda: None, nvml))
                # Nothing is compiled here.
                if finding.verdict is not Verdict.GOOD and finding.subject != "nvcc"
            ]
        )
    except Exception as error:
        # The library's own errors are known to it alone, and none of them is the GPU's.
        yield Failure("findings", f"{type(error).__name__}: {error}")
