"""The functions of the CUDA driver library, with the types of their arguments."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from typing import Any

from clockwork_triton.worker.cuda.driver import CudaError, KernelCall

LIBRARY = "libcuda.so.1"

# Errors after which every further call in the process fails too: faults of kernels and of the hardware.
_LOST = frozenset({214, 220, *range(700, 703), 709, *range(710, 720), 999})


class Node(ctypes.Structure):
    """CUDA_KERNEL_NODE_PARAMS of cuGraphAddKernelNode_v2."""

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
    """The functions as attributes; a call that does not succeed raises CudaError."""

    def __init__(self, path: str) -> None:
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise CudaError(f"there is no CUDA driver here: {error}") from error
        self._text = self._library.cuGetErrorString
        self._text.argtypes = (c_int, ctypes.POINTER(c_char_p))

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
        raise CudaError(f"{name}: {described} ({status})", lost=status in _LOST)


@functools.cache
def open_library(path: str) -> Library:
    """Loads and initialises it, once. CudaError if there is no driver."""
    library = Library(path)
    library.cuInit(0)
    return library


def arguments_of(addresses: Sequence[int]) -> Any:
    """An array of pointers to the addresses; it keeps them alive."""
    values = (c_ulonglong * len(addresses))(*addresses)
    begin, size = ctypes.addressof(values), ctypes.sizeof(c_ulonglong)
    pointers = (c_void_p * len(addresses))(*(begin + i * size for i in range(len(addresses))))
    pointers.values = values  # type: ignore[attr-defined]
    return pointers


def node_of(call: KernelCall) -> Node:
    dim3 = c_uint * 3
    arguments = arguments_of(call.arguments)
    node = Node(
        call.function, dim3(*call.grid), dim3(*call.block), call.shared_bytes, arguments, None, None, None
    )
    node.keeps = arguments
    return node
