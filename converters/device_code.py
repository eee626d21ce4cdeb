"""GPU kernels from whatever wrote them to one cubin, and how each is launched.

Templates write CUDA C (`schedules.cuda`); what no template knows is TIR, which TVM turns into CUDA C.
Either way a kernel ends as device functions and their launches, with all extents known, so a worker needs
no host code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm import tirx
from tvm.tirx.build import codegen_build, split_host_device_mods

from clockwork_triton.artifact.manifest import Launch
from converters.arch import capability_of
from converters.launches import check_launch
from converters.nvcc import compile_source
from converters.request import ConversionError
from converters.schedules.cuda.source import NAME, Source, source_of
from converters.warps import whole_warps

HEADERS = Path(__file__).parent / "schedules" / "cuda" / "device"
MACHINE = "machine.cuh"
TEMPLATES = ("elements.cuh", "halves.cuh", "rows.cuh", "tile.cuh", "product.cuh")
AXES = {
    f"{kind}Idx.{axis}": (kind, number) for kind in ("block", "thread") for number, axis in enumerate("xyz")
}
DYNAMIC_SHARED = "tirx.use_dyn_shared_memory"


@dataclass(frozen=True)
class DeviceCode:
    """`cubin`: the code; `source`: what it was compiled from; `launches` by kernel."""

    cubin: bytes
    source: str
    launches: Mapping[str, tuple[Launch, ...]]


def build(functions: Mapping[str, tirx.PrimFunc], target: tvm.target.Target) -> DeviceCode:
    """Compiles the kernels. ConversionError if one cannot be."""
    written = {name: source_of(func) for name, func in functions.items()}
    lowered = _lower({name: func for name, func in functions.items() if written[name] is None}, target)
    launches = dict(lowered.launches)
    texts = [headers(), lowered.text]
    for name, source in written.items():
        if source is not None:
            launches[name] = _launches(name, source)
            texts.append(source.text.replace(NAME, name))
    arch = str(target.attrs["arch"])
    for name, every in launches.items():
        for launch in every:
            check_launch(name, launch, capability_of(arch))
    text = "\n".join(texts)
    return DeviceCode(compile_source(text, arch), text, launches)


def headers() -> str:
    """What the templates' kernels build on, behind a line that says where an emulation may take its place."""
    return "\n".join((HEADERS / name).read_text() for name in (MACHINE, *TEMPLATES))


def _launches(name: str, source: Source) -> tuple[Launch, ...]:
    return tuple(
        Launch(name + start.suffix, start.grid, start.block, start.shared_bytes, start.arguments)
        for start in source.starts
    )


@dataclass(frozen=True)
class _Lowered:
    text: str
    launches: Mapping[str, tuple[Launch, ...]]


@tvm.ir.instrument.pass_instrument
class _AfterSplit:
    """Keeps the module as it is between the split into host and device code and the packing of arguments."""

    def __init__(self) -> None:
        self.module: Any = None

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        if info.name == "tirx.SplitHostDevice":
            self.module = module


def _lower(functions: Mapping[str, tirx.PrimFunc], target: tvm.target.Target) -> _Lowered:
    """TIR to CUDA C by TVM's own passes."""
    if not functions:
        return _Lowered("", {})
    module = tvm.IRModule({tvm.ir.GlobalVar(name): func for name, func in functions.items()})
    module = tirx.transform.BindTarget(target)(module)
    pipeline, _, finalize = tirx.get_tir_pipeline("s_tir")
    split = _AfterSplit()
    try:
        with target, tvm.ir.transform.PassContext(instruments=[split]):
            module = pipeline(module)
        _, devices = split_host_device_mods(module)
        texts = [codegen_build(finalize()(device), kind).inspect_source() for kind, device in devices.items()]
    except Exception as error:  # whatever code generation stumbles upon
        raise ConversionError(f"TVM cannot compile the model: {error}") from error
    launches = {name: _calls(name, split.module[name]) for name in functions}
    every = [launch for some in launches.values() for launch in some]
    return _Lowered(whole_warps("\n".join(texts), every), launches)


def _calls(name: str, host: tirx.PrimFunc) -> tuple[Launch, ...]:
    """The launches that a kernel's host code makes, which is a plain sequence since all shapes are known."""
    numbers: dict[Any, int] = {buffer: number for number, buffer in enumerate(host.params)}
    launches = []
    for statement in _statements(host.body):
        if isinstance(statement, tirx.DeclBuffer):
            numbers[statement.buffer] = _number(name, statement.data, numbers)
        elif isinstance(statement, tirx.Evaluate):
            launches.append(_launch(name, statement.value, numbers))
        else:
            raise _on_host(name)
    return tuple(launches)


def _number(name: str, pointer: Any, numbers: Mapping[Any, int]) -> int:
    """That of the kernel's argument whose memory this is."""
    if not isinstance(pointer, tvm.ir.Call) or pointer.op.name != "tirx.buffer_data":
        raise _on_host(name)
    return numbers[pointer.args[0]]


def _on_host(name: str) -> ConversionError:
    return ConversionError(
        f"TVM computes a part of kernel {name} on the host, which code for a GPU has none of: serve the "
        "model on the CPU (instance_group { kind: KIND_CPU })"
    )


def _statements(body: Any) -> list[Any]:
    return list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]


def _launch(name: str, call: Any, numbers: Mapping[Any, int]) -> Launch:
    if call.op.name != "tirx.call_ffi_kernel":
        raise _on_host(name)
    function, *rest = call.args
    tags = [str(tag) for tag in call.attrs.launch_params]
    values = rest[len(rest) - len(tags) :]
    extents = {"block": [1, 1, 1], "thread": [1, 1, 1]}
    shared = 0
    for tag, value in zip(tags, values, strict=True):
        if tag == DYNAMIC_SHARED:
            shared = int(value)
        else:
            kind, axis = AXES[tag]
            extents[kind][axis] = int(value)
    arguments = [_number(name, argument, numbers) for argument in rest[: len(rest) - len(tags)]]
    grid, block = (tuple(extents[kind]) for kind in ("block", "thread"))
    return Launch(str(function.value), _dim3(grid), _dim3(block), shared, tuple(arguments))


def _dim3(values: tuple[int, ...]) -> tuple[int, int, int]:
    x, y, z = values
    return x, y, z
