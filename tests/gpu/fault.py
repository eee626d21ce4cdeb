"""A process in which a kernel writes where nothing is: `python -m tests.gpu.fault CUBIN [LIBRARY]`.

Prints what the driver says then, and to another call after it, as JSON: its text, and whether the device is
lost. CUBIN is the file of the kernel `add`; LIBRARY is a fake driver, which only pretends.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

from clockwork_triton.worker.cuda.driver import CudaError, KernelCall
from clockwork_triton.worker.cuda.libcuda import LibCuda

NOWHERE = 16
ILLEGAL_ADDRESS = 700


def main(cubin: str, library: str = "") -> None:
    driver = LibCuda(0, library) if library else LibCuda(0)
    module = driver.load_module(Path(cubin).read_bytes())
    function = driver.function(module, "add", 0)
    stream, end = driver.stream(0), driver.event()
    memory = driver.allocate(16)
    if library:
        ctypes.CDLL(library).fake_fail(b"cuEventQuery", ILLEGAL_ADDRESS)
    there = memory if library else NOWHERE
    driver.launch(KernelCall(function, (1, 1, 1), (1, 1, 1), 0, (memory, memory, there)), stream)
    driver.record(end, stream)
    said: list[dict[str, Any]] = []
    try:
        while not driver.happened(end):
            pass
    except CudaError as error:
        said.append({"text": str(error), "lost": error.lost})
        if library:
            ctypes.CDLL(library).fake_fail(b"cuMemAlloc_v2", ILLEGAL_ADDRESS)
    try:
        driver.allocate(16)
    except CudaError as error:
        said.append({"text": str(error), "lost": error.lost})
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
