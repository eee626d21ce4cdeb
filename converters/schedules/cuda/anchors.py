"""The operations that start an element-wise kernel: where their elements come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from converters.schedules.cpu.views import View, contiguous
from converters.schedules.cuda.code import TYPES, Code, literal, offset
from converters.schedules.cuda.window import Window

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Views:
    """Elements of other tensors, `names`, box by box of the output."""

    names: tuple[str, ...]
    views: tuple[View, ...]
    dtype: str
    shape: Shape

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        if self.dtype != "float32":
            return ()
        return [w for w in widths if all(self._divided(view, w) for view in self.views)]

    def _divided(self, view: View, width: int) -> bool:
        return view.origin[-1] % width == 0 and view.shape[-1] % width == 0

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        code.add(f"{TYPES[self.dtype]} v0[{width}];")
        for number, view in enumerate(self.views):
            inside = self._condition(view, position)
            lead = "else " if number else ""
            last = number == len(self.views) - 1
            place = [
                f"({at} - {first})" if first else at for at, first in zip(position, view.origin, strict=True)
            ]
            at = f"{self.names[view.source]} + {offset(place, view.strides, view.begin)}"
            outer = all(stride % width == 0 for stride in (*view.strides[:-1], view.begin))
            if width > 1 and view.strides[-1] == 1 and outer:
                read = f"load(v0, {at});"
            else:
                read = f"load_apart(v0, {at}, {view.strides[-1]});"
            code.add(f"{lead}{'' if last else f'if ({inside}) '}{read}")

    def _condition(self, view: View, position: Sequence[str]) -> str:
        terms = []
        for at, first, extent, whole in zip(position, view.origin, view.shape, self.shape, strict=True):
            if first > 0:
                terms.append(f"{at} >= {first}")
            if first + extent < whole:
                terms.append(f"{at} < {first + extent}")
        return " && ".join(terms) or "true"


@dataclass(frozen=True)
class Padding:
    """A tensor within a border of one value."""

    name: str
    dtype: str
    input: Shape
    before: Shape
    value: float

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return ()

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        inside, place = [], []
        for at, first, extent in zip(position, self.before, self.input, strict=True):
            place.append(f"({at} - {first})" if first else at)
            inside.append(f"(unsigned)({at} - {first}) < {extent}u")
        value = literal(self.value) if self.dtype == "float32" else repr(self.value)
        code.add(f"{TYPES[self.dtype]} v0[1] = {{static_cast<{TYPES[self.dtype]}>({value})}};")
        code.add(f"if ({' && '.join(inside)}) v0[0] = {self.name}[{offset(place, contiguous(self.input))}];")


@dataclass(frozen=True)
class Taken:
    """numpy.take along `axis`, by indices that lie inside."""

    name: str
    dtype: str
    indices: str
    input: Shape
    index_shape: Shape
    axis: int

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        plain = self.dtype == "float32" and self.axis < len(self.input) - 1
        return [w for w in widths if plain and self.input[-1] % w == 0]

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        rank = len(self.index_shape)
        at = offset(position[self.axis : self.axis + rank], contiguous(self.index_shape))
        code.add(f"const int chosen = static_cast<int>({self.indices}[{at}]);")
        place = [*position[: self.axis], "chosen", *position[self.axis + rank :]]
        code.add(f"{TYPES[self.dtype]} v0[{width}];")
        read = "load(v0, " if width > 1 else "load_apart(v0, "
        tail = ");" if width > 1 else ", 1);"
        code.add(f"{read}{self.name} + {offset(place, contiguous(self.input))}{tail}")


@dataclass(frozen=True)
class Pooled:
    """Max or average over windows of images [N, *spatial, C]; `counted` as in ops.Pool."""

    name: str
    kind: str
    window: Window
    channels: int
    counted: Shape | None

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return [w for w in widths if self.channels % w == 0]

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        maximum = self.kind == "max"
        code.add(f"float v0[{width}];")
        start = "-INFINITY" if maximum else "0.0f"
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] = {start};")
        if not maximum:
            code.add("int found = 0;")
        opened = self.window.open_taps(code, position[1:-1])
        image = prod(self.window.input) * self.channels
        pixel = offset([f"s{axis}" for axis in range(self.window.rank)], contiguous(self.window.input))
        at = f"{self.name} + {position[0]} * {image} + ({pixel}) * {self.channels} + {position[-1]}"
        code.add(f"float x[{width}];")
        code.add(f"load(x, {at});")
        combine = "larger(v0[e], x[e])" if maximum else "v0[e] + x[e]"
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] = {combine};")
        if not maximum:
            code.add("++found;")
        code.add("}" * opened)
        if not maximum:
            self._divide(code, position[1:-1], width)

    def _divide(self, code: Code, position: Sequence[str], width: int) -> None:
        divisor = "found"
        if self.counted is not None:
            for axis, extent in enumerate(self.counted):
                code.add(f"int counted{axis} = 0;")
                taken = self.window.place(axis, position[axis], "t")
                code.add(f"EACH for (int t = 0; t < {self.window.kernel[axis]}; ++t)")
                limit = extent - self.window.pads[axis]
                code.add(f"  counted{axis} += {taken} < {limit};")
            divisor = " * ".join(f"counted{axis}" for axis in range(len(self.counted)))
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] /= static_cast<float>({divisor});")


@dataclass(frozen=True)
class Depthwise:
    """Each channel of [N, *spatial, C] with a kernel of its own: weights [*kernel, C]."""

    name: str
    weight: str
    window: Window
    channels: int

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return [w for w in widths if self.channels % w == 0]

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        code.add(f"float v0[{width}];")
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] = 0.0f;")
        opened = self.window.open_taps(code, position[1:-1])
        spatial = range(self.window.rank)
        pixel = offset([f"s{axis}" for axis in spatial], contiguous(self.window.input))
        tap = offset([f"t{axis}" for axis in spatial], contiguous(self.window.kernel))
        image = prod(self.window.input) * self.channels
        code.add(f"float x[{width}], w[{width}];")
        place = f"{position[0]} * {image} + ({pixel}) * {self.channels} + {position[-1]}"
        code.add(f"load(x, {self.name} + {place});")
        code.add(f"load(w, {self.weight} + ({tap}) * {self.channels} + {position[-1]});")
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] = fmaf(x[e], w[e], v0[e]);")
        code.add("}" * opened)


@dataclass(frozen=True)
class Resampled:
    """Weighted sums of a few pixels of [N, *spatial, C]; a table of places [taps, size] for each axis, and of
    weights where not all are 1."""

    name: str
    places: tuple[str, ...]
    weights: tuple[str | None, ...]
    taps: Shape
    input: Shape
    output: Shape
    channels: int

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return [w for w in widths if self.channels % w == 0]

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        code.add(f"float v0[{width}];")
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] = 0.0f;")
        factor = "1.0f"
        for axis, (taps, size) in enumerate(zip(self.taps, self.output, strict=True)):
            at = f"t{axis} * {size} + {position[1 + axis]}"
            code.add(f"EACH for (int t{axis} = 0; t{axis} < {taps}; ++t{axis}) {{")
            code.add(f"const int s{axis} = {self.places[axis]}[{at}];")
            if self.weights[axis] is not None:
                code.add(f"const float w{axis} = {factor} * {self.weights[axis]}[{at}];")
                factor = f"w{axis}"
        pixel = offset([f"s{axis}" for axis in range(len(self.input))], contiguous(self.input))
        image = prod(self.input) * self.channels
        code.add(f"float x[{width}];")
        place = f"{position[0]} * {image} + ({pixel}) * {self.channels} + {position[-1]}"
        code.add(f"load(x, {self.name} + {place});")
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] = fmaf({factor}, x[e], v0[e]);")
        code.add("}" * len(self.input))


@dataclass(frozen=True)
class Shuffled:
    """ops.ChannelShuffle with the channels last."""

    name: str
    shape: Shape
    groups: int

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return ()

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        each = self.shape[-1] // self.groups
        channel = f"({position[-1]} % {self.groups} * {each} + {position[-1]} / {self.groups})"
        at = offset([*position[:-1], channel], contiguous(self.shape))
        code.add(f"float v0[1] = {{{self.name}[{at}]}};")


@dataclass(frozen=True)
class ChannelMean:
    """ops.ChannelAverage with the channels last."""

    name: str
    shape: Shape
    size: int

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return ()

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        code.add("float v0[1] = {0.0f};")
        code.add(f"EACH for (int t = 0; t < {self.size}; ++t) {{")
        code.add(f"const int channel = {position[-1]} + t - {self.size // 2};")
        at = offset([*position[:-1], "channel"], contiguous(self.shape))
        code.add(f"if ((unsigned)channel < {self.shape[-1]}u) v0[0] += {self.name}[{at}];")
        code.add("}")
        code.add(f"v0[0] *= {literal(1 / self.size)};")


@dataclass(frozen=True)
class Partial:
    """The sum of `splits` tensors of the output's shape, one after the other in memory; their rows have
    `columns` elements."""

    name: str
    splits: int
    shape: Shape
    columns: int

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        return [w for w in widths if self.columns % w == 0]

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        padded = (*self.shape[:-1], self.columns)
        at = offset(position, contiguous(padded))
        code.add(f"float v0[{width}];")
        code.add(f"load(v0, {self.name} + {at});")
        code.add(f"EACH for (int split = 1; split < {self.splits}; ++split) {{")
        code.add(f"float x[{width}];")
        code.add(f"load(x, {self.name} + split * {prod(padded)} + {at});")
        code.add(f"EACH for (int e = 0; e < {width}; ++e) v0[e] += x[e];")
        code.add("}")
