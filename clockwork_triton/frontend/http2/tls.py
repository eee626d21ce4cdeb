"""The TLS side of a server that speaks HTTP/2 only."""

from __future__ import annotations

import ssl


def server_context(certificate: str, key: str, client_roots: str | None = None) -> ssl.SSLContext:
    """Paths of PEM files. `client_roots`: whose certificates clients must show (mutual TLS)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # What RFC 9113 (9.2.2) leaves of TLS 1.2.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key)
    if client_roots is not None:
        context.load_verify_locations(client_roots)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
