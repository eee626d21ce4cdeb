"""Header blocks to request heads: HPACK (RFC 7541) behind a cache of whole blocks.

A client that repeats itself sends blocks of indexed fields only: one byte >= 0x80 each. Such a block means
the same until the dynamic table changes, and leaves that table alone, so its bytes are the cache's key. The
table changes by literals with indexing and by size updates; blocks that hold neither are read here without
clearing the cache, all others by the `hpack` library.
"""

from __future__ import annotations

from collections.abc import Callable

from hpack import Decoder, HPACKError, OversizedHeaderListError

from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode
from clockwork_triton.frontend.http2.head import Field, RequestHead

_CACHED_BLOCK_BYTES = 64
_CACHED_BLOCKS = 256


class HeaderDecoder:
    """`known` maps the blocks whose meaning is settled to their heads: look there first."""

    def __init__(self, parse: Callable[[list[Field]], RequestHead], header_list_bytes: int) -> None:
        self.known: dict[bytes, RequestHead] = {}
        self._parse = parse
        self._hpack = Decoder(header_list_bytes)
        self._limit = header_list_bytes

    def head(self, block: bytes) -> RequestHead:
        """Raises StreamFault if the request is malformed, ConnectionFault if the block is."""
        head = self._parse(self.fields(block))
        if len(block) <= _CACHED_BLOCK_BYTES and min(block) >= 0x80:
            if len(self.known) >= _CACHED_BLOCKS:
                self.known.clear()
            self.known[block] = head
        return head

    def fields(self, block: bytes) -> list[Field]:
        """Every block must come through here or be in `known`, for the table's sake."""
        try:
            fields = self._unindexed(block)
            if fields is None:
                self.known.clear()
                fields = [(bytes(name), bytes(value)) for name, value in self._hpack.decode(block, raw=True)]
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the header list is too long") from error
        except HPACKError as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "the header block is malformed") from error
        return fields

    def _unindexed(self, block: bytes) -> list[Field] | None:
        """The fields of a block that holds only indexed fields and short plain literals that are not to be
        indexed; None if it holds anything else."""
        table = self._hpack.header_table
        fields: list[Field] = []
        at, end, size = 0, len(block), 0
        while at < end:
            first = block[at]
            if 0x80 < first < 0xFF:
                field = table.get_by_index(first & 0x7F)
                at += 1
            elif first < 0x20 and first & 0x0F != 0x0F:
                if first & 0x0F:
                    name = table.get_by_index(first & 0x0F)[0]
                    at += 1
                else:
                    start = at + 2
                    at = start + block[at + 1] if start < end else end
                    name = block[start:at]
                    # A first bit set means Huffman, all others set a longer length: both end up here.
                    if at >= end or at - start >= 0x7F:
                        return None
                if at >= end or block[at] >= 0x7F:
                    return None
                start = at + 1
                at = start + block[at]
                if at > end:
                    return None
                field = (name, block[start:at])
            else:
                return None
            fields.append(field)
            size += len(field[0]) + len(field[1]) + 32
            if size > self._limit:
                raise OversizedHeaderListError("too long")
        return fields
