"""gRPC over HTTP/2 on asyncio: the server's own transport."""
