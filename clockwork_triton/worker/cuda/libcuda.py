"""The CUDA driver itself: libcuda, called through ctypes.

No package stands between: the bindings that there are lack stream priorities and graphs, or must be compiled
on the machine that serves. Names and structures are those of the driver API from CUDA 12.4 on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_float, c_int, c_size_t, c_ulonglong, c_void_p
from dataclasses import dataclass

from clockwork_triton.worker.cuda.driver import CudaError, GpuFacts, KernelCall
from clockwork_triton.worker.cuda.symbols import LIBRARY, Library, Node, arguments_of, open_library
from clockwork_triton.worker.cuda.version import version_of

_SUCCESS = 0
_NOT_READY = 600
_STREAM_NON_BLOCKING = 1
_HOST_REGISTER_PORTABLE = 1
_MULTIPROCESSORS = 16
_MAJOR, _MINOR = 75, 76
_BLOCK_SHARED_BYTES = 97
_MAX_DYNAMIC_SHARED = 8
_STATIC_LIMIT = 48 << 10


def count(path: str = LIBRARY) -> int:
    """The GPUs of this machine. CudaError if there is no driver."""
    number = c_int()
    open_library(path).cuDeviceGetCount(byref(number))
    return number.value


def facts(ordinal: int, path: str = LIBRARY) -> GpuFacts:
    """What a GPU says of itself, which takes nothing of it. CudaError if there is no such GPU or no
    driver."""
    cuda = open_library(path)
    if not 0 <= ordinal < count(path):
        raise CudaError(f"there is no GPU {ordinal}: this machine has {count(path)}")
    device = _device(cuda, ordinal)

    def attribute(number: int) -> int:
        value = c_int()
        cuda.cuDeviceGetAttribute(byref(value), number, device)
        return value.value

    name, bus = ctypes.create_string_buffer(256), ctypes.create_string_buffer(32)
    size, uuid = c_size_t(), (ctypes.c_ubyte * 16)()
    cuda.cuDeviceGetName(name, 256, device)
    cuda.cuDeviceGetPCIBusId(bus, 32, device)
    cuda.cuDeviceTotalMem_v2(byref(size), device)
    cuda.cuDeviceGetUuid_v2(byref(uuid), device)
    version = c_int()
    cuda.cuDriverGetVersion(byref(version))
    digits = bytes(uuid).hex()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return GpuFacts(
        name.value.decode(),
        (attribute(_MAJOR), attribute(_MINOR)),
        size.value,
        attribute(_MULTIPROCESSORS),
        bus.value.decode(),
        f"GPU-{'-'.join(parts)}",
        attribute(_BLOCK_SHARED_BYTES),
        version_of(version.value),
    )


def _device(cuda: Library, ordinal: int) -> int:
    device = c_int()
    cuda.cuDeviceGet(byref(device), ordinal)
    return device.value


@dataclass(frozen=True)
class _Graph:
    """What can be launched was made of `graph`, whose nodes' parameters are kept to be changed in place."""

    graph: int
    nodes: list[tuple[int, Node]]


class LibCuda:
    """See Driver. `ordinal`: which GPU, as CUDA counts them."""

    def __init__(self, ordinal: int, path: str = LIBRARY) -> None:
        """CudaError if there is no such GPU or no driver."""
        self._cuda = open_library(path)
        self.facts = facts(ordinal, path)
        self._device = _device(self._cuda, ordinal)
        context = c_void_p()
        self._cuda.cuDevicePrimaryCtxRetain(byref(context), self._device)
        self._context = context
        self._enter()
        self._graphs: dict[int, _Graph] = {}

    @property
    def lost(self) -> bool:
        return self._cuda.lost

    def _enter(self) -> None:
        """A context is current in one thread at a time; setting it again costs a tenth of a microsecond."""
        self._cuda.cuCtxSetCurrent(self._context)

    def available(self) -> int:
        self._enter()
        free, total = c_size_t(), c_size_t()
        self._cuda.cuMemGetInfo_v2(byref(free), byref(total))
        return free.value

    def allocate(self, size: int) -> int:
        self._enter()
        address = c_ulonglong()
        self._cuda.cuMemAlloc_v2(byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        self._enter()
        self._cuda.cuMemFree_v2(address)

    def pin(self, address: int, size: int) -> None:
        self._enter()
        self._cuda.cuMemHostRegister_v2(address, size, _HOST_REGISTER_PORTABLE)

    def unpin(self, address: int) -> None:
        self._enter()
        self._cuda.cuMemHostUnregister(address)

    def stream(self, priority: int) -> int:
        self._enter()
        least, greatest, stream = c_int(), c_int(), c_void_p()
        self._cuda.cuCtxGetStreamPriorityRange(byref(least), byref(greatest))
        # CUDA counts downwards: a smaller number goes first.
        level = max(greatest.value, least.value - priority)
        self._cuda.cuStreamCreateWithPriority(byref(stream), _STREAM_NON_BLOCKING, level)
        return _value(stream)

    def event(self) -> int:
        self._enter()
        event = c_void_p()
        self._cuda.cuEventCreate(byref(event), 0)
        return _value(event)

    def record(self, event: int, stream: int) -> None:
        self._enter()
        self._cuda.cuEventRecord(event, stream)

    def wait(self, stream: int, event: int) -> None:
        self._enter()
        self._cuda.cuStreamWaitEvent(stream, event, 0)

    def happened(self, event: int) -> bool:
        self._enter()
        status = self._cuda.cuEventQuery.raw(event)
        if status not in (_SUCCESS, _NOT_READY):
            self._cuda.fail("cuEventQuery", status)
        return bool(status == _SUCCESS)

    def elapsed_ns(self, begin: int, end: int) -> int:
        self._enter()
        milliseconds = c_float()
        self._cuda.cuEventElapsedTime(byref(milliseconds), begin, end)
        return round(milliseconds.value * 1e6)

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        self._enter()
        self._cuda.cuMemcpyHtoDAsync_v2(device, host, size, stream)

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None:
        self._enter()
        self._cuda.cuMemcpyDtoHAsync_v2(host, device, size, stream)

    def load_module(self, image: bytes) -> int:
        self._enter()
        module = c_void_p()
        self._cuda.cuModuleLoadData(byref(module), image)
        return _value(module)

    def unload_module(self, module: int) -> None:
        self._enter()
        self._cuda.cuModuleUnload(module)

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        self._enter()
        function = c_void_p()
        self._cuda.cuModuleGetFunction(byref(function), module, name.encode())
        if shared_bytes > _STATIC_LIMIT:
            self._cuda.cuFuncSetAttribute(function, _MAX_DYNAMIC_SHARED, shared_bytes)
        # Otherwise the driver may put off bringing it onto the GPU until it is launched first.
        self._cuda.cuFuncLoad(function)
        return _value(function)

    def launch(self, call: KernelCall, stream: int) -> None:
        self._enter()
        _, pointers = arguments_of(call.arguments)
        self._cuda.cuLaunchKernel(
            call.function, *call.grid, *call.block, call.shared_bytes, stream, pointers, None
        )

    def graph(self, calls: Sequence[KernelCall]) -> int:
        self._enter()
        graph, executable = c_void_p(), c_void_p()
        self._cuda.cuGraphCreate(byref(graph), 0)
        nodes: list[tuple[int, Node]] = []
        previous = c_void_p()
        for call in calls:
            handle, node = c_void_p(), Node.of(call)
            self._cuda.cuGraphAddKernelNode_v2(
                byref(handle), graph, byref(previous) if nodes else None, bool(nodes), node
            )
            nodes.append((_value(handle), node))
            previous = handle
        self._cuda.cuGraphInstantiateWithFlags(byref(executable), graph, 0)
        self._graphs[_value(executable)] = _Graph(_value(graph), nodes)
        return _value(executable)

    def change(self, graph: int, position: int, arguments: list[int]) -> None:
        self._enter()
        handle, node = self._graphs[graph].nodes[position]
        node.values[:] = arguments  # type: ignore[assignment]  # invariant: a list of int or c_ulonglong
        self._cuda.cuGraphExecKernelNodeSetParams_v2(graph, handle, node)

    def upload(self, graph: int, stream: int) -> None:
        self._enter()
        self._cuda.cuGraphUpload(graph, stream)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._enter()
        self._cuda.cuGraphLaunch(graph, stream)

    def free_graph(self, graph: int) -> None:
        self._enter()
        self._cuda.cuGraphExecDestroy(graph)
        self._cuda.cuGraphDestroy(self._graphs.pop(graph).graph)

    def close(self) -> None:
        """Releasing the primary context takes all that is in it."""
        self._graphs.clear()
        self._cuda.cuCtxSetCurrent(None)
        self._cuda.cuDevicePrimaryCtxRelease_v2(self._device)


def _value(handle: c_void_p) -> int:
    assert handle.value is not None
    return handle.value
