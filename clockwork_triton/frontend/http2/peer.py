"""A client's address, as gRPC writes it."""

from __future__ import annotations

from asyncio import BaseTransport
from urllib.parse import quote


def peer_name(transport: BaseTransport) -> str:
    """ "ipv4:127.0.0.1:50000", "ipv6:%5B::1%5D:50000" or "unix:"."""
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple) and len(address) == 2:
        return f"ipv4:{address[0]}:{address[1]}"
    if isinstance(address, tuple):
        return f"ipv6:{quote(f'[{address[0]}]', safe=':')}:{address[1]}"
    return f"unix:{address or ''}"
