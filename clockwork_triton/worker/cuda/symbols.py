"""The functions of the CUDA driver library, with the types of their arguments."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from typing import Any

from clockwork_triton.worker.cuda.driver import CudaError, KernelCall, NoDriverError

LIBRARY = "libcuda.so.1"

# Errors after which every further call in the process fails too: faults of kernels and of the hardware.
_LOST = frozenset({214, 220, 226, 700, 702, 709, 710, *range(714, 720), 721, 911, 999})


class Node(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS of cuGraphAddKernelNode_v2. `values`: the arguments that it points to."""

    values: ctypes.Array[c_ulonglong]

    _fields_ = (
        ("function", c_void_p),
        ("grid", c_uint * 3),
        ("block", c_uint * 3),
        ("shared_bytes", c_uint),
        ("arguments", ctypes.POINTER(c_void_p)),
        ("extra", c_void_p),
        ("kernel", c_void_p),
        ("context", c_void_p),
    )

    @classmethod
    def of(cls, call: KernelCall) -> Node:
        dim3 = c_uint * 3
        values, pointers = arguments_of(call.arguments)
        node = cls(call.function, dim3(*call.grid), dim3(*call.block), call.shared_bytes, pointers)
        node.values = values
        return node


# The functions used, by the types of their arguments; every one returns a CUresult.
PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (c_void_p,),
    "cuDeviceGetCount": (c_void_p,),
    "cuDeviceGet": (c_void_p, c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (c_void_p, c_int, c_int),
    "cuDeviceTotalMem_v2": (c_void_p, c_int),
    "cuDeviceGetPCIBusId": (c_char_p, c_int, c_int),
    "cuDeviceGetUuid_v2": (c_void_p, c_int),
    "cuDevicePrimaryCtxRetain": (c_void_p, c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuCtxGetStreamPriorityRange": (c_void_p, c_void_p),
    "cuMemGetInfo_v2": (c_void_p, c_void_p),
    "cuMemAlloc_v2": (c_void_p, c_size_t),
    "cuMemFree_v2": (c_ulonglong,),
    "cuMemHostRegister_v2": (c_void_p, c_size_t, c_uint),
    "cuMemHostUnregister": (c_void_p,),
    "cuStreamCreateWithPriority": (c_void_p, c_uint, c_int),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventQuery": (c_void_p,),
    "cuEventElapsedTime": (c_void_p, c_void_p, c_void_p),
    "cuMemcpyHtoDAsync_v2": (c_ulonglong, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_ulonglong, c_size_t, c_void_p),
    "cuModuleLoadData": (c_void_p, c_char_p),
    "cuModuleUnload": (c_void_p,),
    "cuModuleGetFunction": (c_void_p, c_void_p, c_char_p),
    "cuFuncSetAttribute": (c_void_p, c_int, c_int),
    "cuFuncLoad": (c_void_p,),
    "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, ctypes.POINTER(c_void_p), c_void_p),
    "cuGraphCreate": (c_void_p, c_uint),
    "cuGraphAddKernelNode_v2": (c_void_p, c_void_p, c_void_p, c_size_t, ctypes.POINTER(Node)),
    "cuGraphInstantiateWithFlags": (c_void_p, c_void_p, c_ulonglong),
    "cuGraphUpload": (c_void_p, c_void_p),
    "cuGraphExecKernelNodeSetParams_v2": (c_void_p, c_void_p, ctypes.POINTER(Node)),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphDestroy": (c_void_p,),
}


class Library:
    """The functions as attributes; a call that does not succeed raises CudaError. `lost`: whether one has
    said that the device is of no more use to this process."""

    def __init__(self, path: str) -> None:
        """NoDriverError if there is no such library, CudaError if it is of no use."""
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            text = str(error)
            # What the library needs may be missing too, and then it is named.
            if text.startswith(f"{path}:") and "No such file" in text:
                raise NoDriverError(f"there is no CUDA driver here: {text}") from error
            raise CudaError(f"the CUDA driver cannot be loaded: {text}") from error
        self._text = self._library.cuGetErrorString
        self._text.argtypes = (c_int, ctypes.POINTER(c_char_p))
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        types = PROTOTYPES.get(name)
        if types is None:
            raise AttributeError(name)
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise CudaError(f"this CUDA driver is too old: it has no {name}") from None
        function.argtypes, function.restype = types, c_int

        def call(*arguments: Any) -> None:
            if status := function(*arguments):
                self.fail(name, status)

        call.raw = function  # type: ignore[attr-defined]
        setattr(self, name, call)
        return call

    def fail(self, name: str, status: int) -> None:
        text = c_char_p()
        self._text(status, byref(text))
        described = text.value.decode() if text.value else "unknown error"
        lost = status in _LOST
        self.lost |= lost
        raise CudaError(f"{name}: {described} ({status})", lost=lost, status=status)


@functools.cache
def open_library(path: str) -> Library:
    """Loads and initialises it, once. CudaError if it does not work, NoDriverError if there is none.

    GPUs have the numbers that nvidia-smi gives them, unless the environment says otherwise; CUDA's own order
    begins with the fastest.
    """
    library = Library(path)
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    library.cuInit(0)
    return library


def arguments_of(addresses: Sequence[int]) -> tuple[ctypes.Array[c_ulonglong], Any]:
    """An array of the addresses, and one of pointers to its elements, which does not keep it alive."""
    values = (c_ulonglong * len(addresses))(*addresses)
    begin, size = ctypes.addressof(values), ctypes.sizeof(c_ulonglong)
    return values, (c_void_p * len(addresses))(*(begin + i * size for i in range(len(addresses))))
