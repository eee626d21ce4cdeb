"""Answers kept for requests that come again: Triton's `--cache-config local`."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from clockwork_triton.inference import InferenceCall, as_bytes


class Outputs(NamedTuple):
    """The tensors of a model's outputs; `shapes` of them where the model is not compiled."""

    tensors: tuple[bytes, ...]
    shapes: tuple[tuple[int, ...], ...] | None = None


_ENTRY_BYTES = 256
"""What an entry takes beside its outputs, about."""


class Key(NamedTuple):
    """A model that was replaced has another id, so what it answered is never given for its successor."""

    model_id: int
    rows: int
    digest: bytes


class ResponseCache:
    """Holds at most `limit_bytes`; what was not asked for the longest goes first."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[Key, Outputs] = OrderedDict()
        self.used_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: Key) -> Outputs | None:
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def insert(self, key: Key, outputs: Outputs) -> None:
        """An answer that is larger than the whole cache is not kept."""
        size = _size(outputs)
        if size > self._limit_bytes or key in self._entries:
            return
        self._entries[key] = outputs
        self.used_bytes += size
        while self.used_bytes > self._limit_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.used_bytes -= _size(oldest)


def key_of(call: InferenceCall) -> Key:
    """Equal for two calls that a model answers alike."""
    digest = blake2b(digest_size=20)
    for data in call.inputs:
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data if isinstance(data, bytes | memoryview) else as_bytes(data))
    if call.shapes is not None:
        digest.update(repr(call.shapes).encode())
    return Key(call.model_id, call.rows, digest.digest())


def _size(outputs: Outputs) -> int:
    return _ENTRY_BYTES + sum(map(len, outputs.tensors))
