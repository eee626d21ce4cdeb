"""From a device's name on the command line to the device."""

from __future__ import annotations

from clockwork_triton.worker.device import Device, DeviceOptions

EMULATED_KIND = "emulated"


def open_device(name: str, options: DeviceOptions) -> Device:
    """`cpu[:N]`, or `emulated[:KIND]`: one that takes the times of the profiles of that kind.

    ValueError if there is no such device. N tells apart several workers on the CPU; it chooses nothing.
    """
    family, _, rest = name.partition(":")
    if family == "cpu" and (not rest or rest.isdecimal()):
        from clockwork_triton.worker.cpu import CpuDevice

        return CpuDevice(options)
    if family == "emulated":
        from clockwork_triton.worker.emulated import EmulatedDevice

        return EmulatedDevice(options, EMULATED_KIND if not rest or rest.isdecimal() else rest)
    raise ValueError(f"no such device: {name} (there are cpu:N and emulated:KIND)")
