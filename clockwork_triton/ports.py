"""The ports that clients speak to, of this process: gRPC and HTTP over one data plane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.flags import ServeOptions
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.grpc_options import GrpcOptions, KeepAlive, Tls
from clockwork_triton.frontend.grpc_server import GrpcServer
from clockwork_triton.frontend.http.app import HttpApp, HttpElsewhere
from clockwork_triton.frontend.http.server import HttpServer
from clockwork_triton.frontend.http2_server import Http2Server
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.restriction import Restriction
from clockwork_triton.frontend.service import InferenceService, RpcElsewhere

log = logging.getLogger(__name__)


class Ports:
    """The services over a data plane, and the servers in front of them, which listen once started."""

    def __init__(
        self,
        options: ServeOptions,
        plane: DataPlane,
        identity: ServerIdentity,
        *,
        rpc_elsewhere: RpcElsewhere | None = None,
        http_elsewhere: HttpElsewhere | None = None,
    ) -> None:
        """ServerError if restrictions contradict each other. Another process, where there is one, is asked
        for all but inferences: see InferenceService and HttpApp."""
        self._options = options
        restrictions = _merged(options.grpc_restricted_protocol)
        self.service = InferenceService(plane, identity, restrictions, rpc_elsewhere)
        self.app = HttpApp(
            plane,
            identity,
            max_bytes=options.http_max_input_size,
            restrictions=_merged(options.http_restricted_api),
            elsewhere=http_elsewhere,
        )
        self._grpc: GrpcServer | Http2Server | None = None
        self._http: HttpServer | None = None

    async def listen(self, *, shared: bool = False) -> None:
        """OSError if a port cannot be had. `shared`: with other processes of this server."""
        options = self._options
        if options.allow_grpc:
            settings = grpc_options(options)
            if shared:
                settings = replace(settings, reuse_port=True)
            transport = Http2Server if options.grpc_transport == "http2" else GrpcServer
            self._grpc = transport(self.service, settings)
            port = await self._grpc.start(f"{options.grpc_address}:{options.grpc_port}")
            log.info("Started GRPCInferenceService at %s:%d", options.grpc_address, port)
        if options.allow_http:
            self._http = HttpServer(self.app)
            port = await self._http.start(
                options.http_address, options.http_port, reuse_port=shared or options.reuse_http_port
            )
            log.info("Started HTTPService at %s:%d", options.http_address, port)

    async def stop(self, grace_s: float) -> None:
        """Takes no more calls; those under way have `grace_s` seconds to end."""
        servers = [server for server in (self._grpc, self._http) if server is not None]
        await asyncio.gather(*(server.stop(grace_s) for server in servers))


def grpc_options(options: ServeOptions) -> GrpcOptions:
    tls = None
    if options.grpc_use_ssl or options.grpc_use_ssl_mutual:
        assert options.grpc_server_cert is not None
        assert options.grpc_server_key is not None
        roots = options.grpc_root_cert if options.grpc_use_ssl_mutual else None
        tls = Tls(options.grpc_server_cert, options.grpc_server_key, roots)
    keepalive = KeepAlive(
        options.grpc_keepalive_time,
        options.grpc_keepalive_timeout,
        options.grpc_keepalive_permit_without_calls,
        options.grpc_http2_max_pings_without_data,
        options.grpc_http2_min_recv_ping_interval_without_data,
        options.grpc_http2_max_ping_strikes,
        options.grpc_max_connection_age,
        options.grpc_max_connection_age_grace,
    )
    return GrpcOptions(tls, keepalive, options.grpc_infer_response_compression_level, options.reuse_grpc_port)


def _merged(restrictions: Sequence[Mapping[str, Restriction]]) -> dict[str, Restriction]:
    """ServerError where a part is restricted twice."""
    merged: dict[str, Restriction] = {}
    for each in restrictions:
        for category, restriction in each.items():
            if category in merged:
                raise ServerError(Code.INVALID_ARG, f"'{category}' is restricted more than once")
            merged[category] = restriction
    return merged
