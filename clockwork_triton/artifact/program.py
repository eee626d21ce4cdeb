"""Binds a variant to memory and runs it: the only code of serving that touches TVM.

Importing this module does not import TVM; `load_kernels` and binding do. A process that only runs
artifacts sets TVM_USE_RUNTIME_LIB=1 first, which loads 4 MB of runtime in place of the compiler's 260 MB.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockwork_triton.artifact.manifest import TensorRef, Variant
from clockwork_triton.datatypes import itemsize

CPU = 1
CUDA = 2

_CODES = {"i": 0, "u": 1, "f": 2, "b": 4}  # int, uint, float, bfloat of DLPack's DLDataTypeCode
_BOOL = 6

_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = (ctypes.c_size_t,)
_FREE = ctypes.cast(_libc.free, ctypes.c_void_p).value
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_HEADER = struct.Struct("=QiiiBBHQQQQQ")  # DLManagedTensor
# An FFI object begins with this header; in a tensor, a DLTensor follows, whose first field is the address.
_OBJECT_HEADER_BYTES = 24
_NAME = b"dltensor"  # the capsule keeps the pointer, so the bytes must live as long as the module


@dataclass
class Memory:
    """A run of bytes on a device, and the tensors in it that were asked for so far.

    `address` is a multiple of 64. The caller keeps the bytes alive for as long as a program bound to them
    may run. Views are kept, so variants that share a tensor share its view, and `move` finds them all.
    """

    address: int
    device_type: int = CPU
    device_id: int = 0
    _views: dict[tuple[int, str, tuple[int, ...]], Any] = field(default_factory=dict, repr=False)
    _places: list[tuple[ctypes.c_uint64, int]] = field(default_factory=list, repr=False)

    def move(self, address: int) -> None:
        """From now on the bytes are at `address`; the views, and so the programs bound to them, follow.

        No program that uses this memory may be running. Costs half a microsecond a view and takes no memory,
        so one binding serves every I/O slot, and every place in a device's memory.
        """
        self.address = address
        for place, offset in self._places:
            place.value = address + offset

    def view(self, offset: int, dtype: str, shape: tuple[int, ...]) -> Any:
        """The tensor of `dtype` (numpy name or bfloat16) and `shape` at `offset` bytes, not copied."""
        key = (offset, dtype, shape)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._make_view(offset, dtype, shape)
        return view

    def _make_view(self, offset: int, dtype: str, shape: tuple[int, ...]) -> Any:
        # tvm's own `_create_view` leaves the offset in DLTensor.byte_offset, which compiled kernels refuse,
        # so the address is folded into the data pointer. The block is freed by the tensor: its deleter
        # takes the address of the block, as libc's free does.
        import tvm_ffi

        size = _HEADER.size + 8 * len(shape)
        block = _libc.malloc(size)
        code = _BOOL if dtype == "bool" else _CODES[dtype[0]]
        header = _HEADER.pack(
            self.address + offset,
            self.device_type,
            self.device_id,
            len(shape),
            code,
            itemsize(dtype) * 8,
            1,
            block + _HEADER.size,
            0,
            0,
            0,
            _FREE,
        )
        ctypes.memmove(block, header + struct.pack(f"={len(shape)}q", *shape), size)
        tensor = tvm_ffi.from_dlpack(_capsule(block, _NAME, None))
        place = ctypes.c_uint64.from_address(tensor.__chandle__() + _OBJECT_HEADER_BYTES)
        assert place.value == tensor.data_ptr() == self.address + offset
        self._places.append((place, offset))
        return tensor


def load_runtime() -> None:
    """Loads TVM, which takes some tenths of a second, so that nothing that follows has to."""
    import tvm.runtime  # noqa: F401


def load_kernels(artifact: Path) -> Any:
    """The kernels of an artifact, looked up by name: `load_kernels(directory)["kernel"]`.

    The library is unmapped with the last reference to it or one of its kernels. TVM's default keeps every
    library for the life of the process, which a server that reloads models would grow by.
    """
    import tvm.runtime  # noqa: F401 - what kernels call
    import tvm_ffi

    return tvm_ffi.load_module(str(artifact / "kernels.so"), keep_module_alive=False)


class Program:
    """A variant bound to its memories.

    `weights`: a Memory for each segment. `inputs` and `outputs`: one for each tensor of the manifest,
    beginning where that tensor of this batch size begins (`Manifest.slot`). On CUDA, `run` only enqueues:
    the caller synchronises. Binding costs some microseconds a tensor, a step of `run` half a microsecond.
    """

    def __init__(
        self,
        kernels: Any,
        variant: Variant,
        *,
        weights: Sequence[Memory],
        workspace: Memory,
        inputs: Sequence[Memory],
        outputs: Sequence[Memory],
    ) -> None:
        spaces = {"weight": weights, "workspace": (workspace,), "input": inputs, "output": outputs}

        def view(tensor: TensorRef) -> Any:
            return spaces[tensor.space][tensor.index].view(tensor.offset, tensor.dtype, tensor.shape)

        tensors = [view(tensor) for tensor in variant.tensors]
        self._calls: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (kernels[step.kernel], tuple(tensors[i] for i in step.args)) for step in variant.steps
        ]

    def run(self) -> None:
        for kernel, tensors in self._calls:
            kernel(*tensors)
