"""Where the operands of a product lie: the members of a problem that device/tile.cuh asks for."""

from __future__ import annotations

from math import prod

from converters.schedules.cuda.code import coordinates, offset
from converters.schedules.cuda.problem import Product, padded_columns
from converters.schedules.cuda.window import Window

MOST_BITS = 31
"""Of a word that says which taps of a row are outside of an image."""


def members(problem: Product) -> list[str]:
    window = problem.left.window
    left = _plain(problem) if window is None or window.is_pointwise else _windowed(problem, window)
    return [*left, *_right(problem)]


def _left_width(problem: Product) -> int:
    """How many words of the left operand are copied at a time."""
    left, extents = problem.left, problem.extents
    if left.window is not None:
        return 4 if left.channels // problem.batches % 4 == 0 else 1
    strides = (*left.batch, *left.rows)
    return 4 if left.depth == 1 and extents.depth % 4 == 0 and not any(s % 4 for s in strides) else 1


def _right_width(problem: Product) -> int:
    right, extents = problem.right, problem.extents
    if right.packed:
        return 4
    by_column = problem.staging.by_column
    along, across = (right.depth, right.column) if by_column else (right.column, right.depth)
    count = extents.depth if by_column else extents.columns
    whole = count % 4 == 0 and across % 4 == 0 and not any(s % 4 for s in right.batch)
    return 4 if along == 1 and whole else 1


def _left(problem: Product, taps: int, channels: int, depth: int) -> list[str]:
    return [
        f"static constexpr int LEFT_WIDTH = {_left_width(problem)};",
        f"static constexpr int TAPS = {taps}, CHANNELS = {channels}, LEFT_DEPTH = {depth};",
        f"INSIDE_MEMBER const float* left() const {{ return {problem.left.name}; }}",
    ]


def _plain(problem: Product) -> list[str]:
    """Rows are where strides, or the pixels of images, put them."""
    left, extents = problem.left, problem.extents.rows
    rows, batch, depth = left.rows, left.batch, left.depth
    if left.window is not None:
        extents = (problem.m,)
        rows, batch, depth = (left.channels,), (left.channels // problem.batches,), 1
    begin = offset(coordinates("z", problem.extents.batch), batch)
    at = f"{begin} + {offset(coordinates('m', extents), rows)}"
    return [
        *_left(problem, 1, problem.extents.depth, depth),
        "struct Row { int at; bool there; };",
        "struct Tap { int at; };",
        f"INSIDE_MEMBER Row row(int m) const {{ return {{{at}, true}}; }}",
        "INSIDE_MEMBER static Row nowhere() { return {0, false}; }",
        "INSIDE_MEMBER static Tap tap(unsigned) { return {0}; }",
        "INSIDE_MEMBER static bool inside(const Row& row, const Tap&) { return row.there; }",
    ]


def _windowed(problem: Product, window: Window) -> list[str]:
    channels = problem.left.channels // problem.batches
    head = _left(problem, prod(window.kernel), channels, 1)
    if window.transposed or sum(window.kernel) > MOST_BITS:
        return [*head, *_by_position(problem, window)]
    return [*head, *_by_bits(problem, window)]


def _steps(problem: Product, window: Window) -> list[int]:
    """From one pixel to the next along each axis."""
    return [prod(window.input[axis + 1 :]) * problem.left.channels for axis in range(window.rank)]


def _pixel(problem: Product, window: Window) -> tuple[str, list[str]]:
    """Where the image of row m begins, and the pixel of the output on each axis."""
    images, *pixel = coordinates("m", (problem.m // prod(window.output), *window.output))
    image = prod(window.input) * problem.left.channels
    return f"{images} * {image} + z * {problem.left.channels // problem.batches}", pixel


def _by_bits(problem: Product, window: Window) -> list[str]:
    """A row knows which taps are outside, a bit for each of every axis, and a tap which bits are its own."""
    image, pixel = _pixel(problem, window)
    taps = coordinates("number", window.kernel)
    steps = _steps(problem, window)
    origins = [f"({window.origin(axis, at)})" for axis, at in enumerate(pixel)]
    outside, bits = [], []
    first = 0
    for axis, kernel in enumerate(window.kernel):
        if window.overhangs(axis):
            sizes = f"{kernel}, {window.dilations[axis]}, {window.input[axis]}"
            outside.append(f"taps_outside<{sizes}>{origins[axis]} << {first}")
            bits.append(f"1u << ({taps[axis]} + {first})")
            first += kernel
    apart = [dilation * step for dilation, step in zip(window.dilations, steps, strict=True)]
    return [
        "struct Row { int at; unsigned outside; };",
        "struct Tap { int at; unsigned bits; };",
        "INSIDE_MEMBER Row row(int m) const {"
        f" return {{{image} + {offset(origins, steps)}, {' | '.join(outside) or '0u'}}}; }}",
        "INSIDE_MEMBER static Row nowhere() { return {0, ~0u}; }",
        "INSIDE_MEMBER static Tap tap(unsigned number) {"
        f" return {{static_cast<int>({offset(taps, apart)}), {' | '.join(bits) or '1u'}}}; }}",
        "INSIDE_MEMBER static bool inside(const Row& row, const Tap& tap) {"
        " return (row.outside & tap.bits) == 0; }",
    ]


def _by_position(problem: Product, window: Window) -> list[str]:
    """Rows and taps know what they add to the position on every axis. Where the window is transposed, every
    stride-th position is an input's: there the quotients of a row and a tap sum up to the input's number."""
    image, pixel = _pixel(problem, window)
    taps = coordinates("number", window.kernel)
    steps = _steps(problem, window)
    axes = range(window.rank)
    sign = "-" if window.transposed else ""
    spread = window.strides if window.transposed else (1,) * window.rank
    origins = [f"({window.origin(axis, at)})" for axis, at in enumerate(pixel)]
    moved = [f"{sign}static_cast<int>({tap} * {d})" for tap, d in zip(taps, window.dilations, strict=True)]
    places, moves, inside = list(origins), [f"({move})" for move in moved], []
    for axis, stride in enumerate(spread):
        position = f"row.o{axis} + tap.o{axis}"
        inside.append(f"static_cast<unsigned>({position}) < {window.input[axis] * stride}u")
        if stride > 1:
            places[axis], moves[axis] = f"({origins[axis]} / {stride})", f"({moved[axis]} / {stride})"
            inside.append(f"({position}) % {stride} == 0")
    names = ", ".join(f"o{axis}" for axis in axes)
    nowhere = ", ".join("-(1 << 30)" for _ in axes)
    return [
        f"struct Row {{ int at, {names}; }};",
        f"struct Tap {{ int at, {names}; }};",
        "INSIDE_MEMBER Row row(int m) const {"
        f" return {{{image} + {offset(places, steps)}, {', '.join(origins)}}}; }}",
        f"INSIDE_MEMBER static Row nowhere() {{ return {{0, {nowhere}}}; }}",
        "INSIDE_MEMBER static Tap tap(unsigned number) {"
        f" return {{{offset(moves, steps)}, {', '.join(moved)}}}; }}",
        "INSIDE_MEMBER static bool inside(const Row& row, const Tap& tap) {"
        f" return {' && '.join(inside)}; }}",
    ]


def _right(problem: Product) -> list[str]:
    """Words: floats, or pairs of halves where the operand is packed as such."""
    right, extents = problem.right, problem.extents
    if right.packed:
        row, column = padded_columns(extents.columns), 1
        depths = -(-extents.depth // 2) if problem.staging.half_weights else extents.depth
        begin = f"z * {depths * row}"
    else:
        row, column = right.depth, right.column
        begin = offset(coordinates("z", extents.batch), right.batch)
    return [
        f"static constexpr int RIGHT_WIDTH = {_right_width(problem)};",
        f"static constexpr long long RIGHT_DEPTH = {row}, RIGHT_COLUMN = {column};",
        "INSIDE_MEMBER const unsigned* right() const {"
        f" return reinterpret_cast<const unsigned*>({right.name}) + {begin}; }}",
    ]
