"""A lowered model of one batch size as plain data: kernel calls on values, before memory is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clockwork_triton.datatypes import itemsize


@dataclass(frozen=True)
class Value:
    """A tensor that a kernel reads or writes."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * itemsize(self.dtype)


@dataclass(frozen=True)
class Call:
    """One kernel, its arguments in order: those read, then those written, then its private memory."""

    kernel: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    scratch: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """`values` are numbered by position; everything else speaks of them by number.

    `constants`: the digest of a value's bytes. `aliases`: a value that is another one's bytes under another
    shape, or some of them, to that other value (never itself an alias); `offsets`: at which byte of it the
    value begins, if not the first. Every value that is no alias is an input, or written before any call reads
    it: by exactly one call, or part by part, each being an alias that exactly one call writes.
    """

    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: Mapping[int, str]
    aliases: Mapping[int, int]
    calls: tuple[Call, ...]
    offsets: Mapping[int, int] = field(default_factory=dict)

    def root(self, value: int) -> int:
        """The value whose memory `value` is."""
        return self.aliases.get(value, value)

    def is_part(self, value: int) -> bool:
        """Whether `value` is not all of the memory that it is in."""
        root = self.root(value)
        return self.values[value].bytes != self.values[root].bytes
