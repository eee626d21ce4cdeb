"""Triton's HTTP/REST protocol over the data plane, as an ASGI application."""
