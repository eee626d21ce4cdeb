"""Header blocks to request heads: HPACK (RFC 7541) behind a cache of whole blocks.

A block of indexed fields (one byte >= 0x80 each, if a client repeats itself) and of literals that are not to be
indexed leaves the dynamic table alone, so it means the same whenever its bytes come again, until that table
changes. Such blocks are read here, once; those that change the table go to the `hpack` library and clear the
cache.
"""

from __future__ import annotations

from collections.abc import Callable

from hpack import Decoder, HPACKError, OversizedHeaderListError

from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode
from clockwork_triton.frontend.http2.head import Field, RequestHead

_CACHED_BLOCK_BYTES = 512
_CACHED_BLOCKS = 256


class HeaderDecoder:
    """`known` maps the blocks whose meaning is settled to their heads: look there first."""

    def __init__(self, parse: Callable[[list[Field]], RequestHead], header_list_bytes: int) -> None:
        self.known: dict[bytes, RequestHead] = {}
        self._parse = parse
        self._hpack = Decoder(header_list_bytes)
        self._limit = header_list_bytes
        self._changed = False

    def head(self, block: bytes) -> RequestHead:
        """Raises StreamFault if the request is malformed, ConnectionFault if the block is."""
        self._changed = False
        head = self._parse(self.fields(block))
        if not self._changed and len(block) <= _CACHED_BLOCK_BYTES:
            if len(self.known) >= _CACHED_BLOCKS:
                self.known.clear()
            self.known[block] = head
        return head

    def fields(self, block: bytes) -> list[Field]:
        """Every block must come through here or be in `known`, for the table's sake."""
        try:
            fields = self._unindexed(block)
            if fields is None:
                self._changed = True
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
