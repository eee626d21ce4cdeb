"""From a device's name on the command line to the device."""

from __future__ import annotations

from clockwork_triton.worker.device import Device, DeviceOptions
from clockwork_triton.worker.hosted import HostingDevice

EMULATED_KIND = "emulated"


def open_device(name: str, options: DeviceOptions) -> Device:
    """`cpu[:N]`, `cuda[:N]`, or `emulated[:KIND]`: one that takes the times of the profiles of that kind.

    ValueError if there is no such device, OSError if it cannot be opened. cuda:N is GPU number N; of the CPU
    N tells apart several workers, and chooses nothing.
    """
    family, _, rest = name.partition(":")
    if family == "cpu" and (not rest or rest.isdecimal()):
        from clockwork_triton.worker.cpu import CpuDevice

        return HostingDevice(CpuDevice(options), options)
    if family == "cuda" and (not rest or rest.isdecimal()):
        from clockwork_triton.nvml import Nvml
        from clockwork_triton.worker.cuda.clocks import ClockTracker
        from clockwork_triton.worker.cuda.device import CudaDevice
        from clockwork_triton.worker.cuda.driver import CudaError
        from clockwork_triton.worker.cuda.libcuda import LibCuda

        try:
            driver = LibCuda(int(rest or 0))
            tracker = ClockTracker(Nvml.open(), driver.facts.pci_bus_id)
            return HostingDevice(CudaDevice(options, driver, gpu_clock=tracker), options)
        except CudaError as error:
            raise OSError(str(error)) from error
    if family == "emulated":
        from clockwork_triton.worker.emulated import EmulatedDevice

        return EmulatedDevice(options, EMULATED_KIND if not rest or rest.isdecimal() else rest)
    raise ValueError(f"no such device: {name} (there are cpu:N, cuda:N and emulated:KIND)")
