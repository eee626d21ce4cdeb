"""The composition root: builds the parts, starts them in order, and drains them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import time
from collections.abc import Mapping, Sequence

from clockwork_triton import __version__
from clockwork_triton.console import ConversionBars, show_models
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.options import Options as ControllerOptions
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.devices import default_memory, slot_bytes
from clockwork_triton.engine.engine import Engine
from clockwork_triton.engine.options import EngineOptions, WorkerOptions
from clockwork_triton.engine.worker_process import cores_for
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.event_loop import longest_turn_ns
from clockwork_triton.flag_settings import latency_options
from clockwork_triton.flags import ServeOptions
from clockwork_triton.frontend.allocator import keep_freed_memory
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.grpc_options import GrpcOptions, KeepAlive, Tls
from clockwork_triton.frontend.grpc_server import GrpcServer
from clockwork_triton.frontend.http.app import HttpApp
from clockwork_triton.frontend.http.server import HttpServer
from clockwork_triton.frontend.http2_server import Http2Server
from clockwork_triton.frontend.metrics import Metrics
from clockwork_triton.frontend.metrics_http import MetricsServer
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.frontend.restriction import Restriction
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.loader import ArtifactLoader
from clockwork_triton.reports import log_change, log_notice, model_row
from clockwork_triton.repository.plan import ConfigOptions
from clockwork_triton.repository.repository import ControlMode, Repository
from clockwork_triton.repository.status import VersionStatus
from clockwork_triton.telemetry.gauges import ServerGauges
from clockwork_triton.telemetry.logs import Log
from clockwork_triton.telemetry.statistics import Statistics
from clockwork_triton.telemetry.trace_settings import from_options
from clockwork_triton.telemetry.tracer import Tracer
from converters.pool import ConversionPool

log = logging.getLogger(__name__)

WORKSPACE_BYTES = 1 << 30
OPEN_FILES = 1 << 16


class Server:
    """One server, made and run inside the event loop. `run` serves until SIGTERM or SIGINT."""

    def __init__(self, options: ServeOptions, log: Log) -> None:
        """ServerError if the options make no sense together."""
        self._options = options
        workers = worker_options(options)
        _leave_cores_to(workers)
        keep_freed_memory()
        _allow_open_files()
        self._bars = ConversionBars()
        controller = Controller(POLICIES[options.policy](), ControllerOptions())
        self._engine = Engine(controller, EngineOptions(workers, options.action_log, options.request_log))
        self._pool = ConversionPool(options.artifact_cache)
        self._loader = ArtifactLoader(
            self._pool, self._engine, self._bars, options.device, fallback=options.fallback
        )
        self._repository = Repository(
            options.model_repository,
            self._loader,
            mode=ControlMode(options.model_control_mode),
            load_models=options.load_model,
            options=ConfigOptions(
                options.model_config_name,
                auto_complete=not options.disable_auto_complete_config,
                default_max_batch_size=options.default_max_batch_size,
                gpus=options.gpus,
                fallback=options.fallback,
            ),
            poll_interval_s=options.repository_poll_secs,
            loads_at_once=options.model_load_thread_count,
            on_change=self._changed,
            on_notice=log_notice,
        )
        slo_ns = round(options.default_slo_ms * 1e6) if options.default_slo_ms else None
        self._plane = DataPlane(
            self._repository,
            self._engine,
            Statistics(latency_options(options.metrics_config)),
            time.monotonic_ns,
            default_slo_ns=slo_ns,
            strict_readiness=options.strict_readiness,
            cache=ResponseCache(options.cache_config) if options.cache_config else None,
            facilities=Facilities(
                SharedMemory(options.allow_client_shm),
                Tracer(from_options(options.trace_config)),
                log,
                self._repository,
            ),
        )
        identity = ServerIdentity(options.id, __version__)
        self._service = InferenceService(self._plane, identity, _merged(options.grpc_restricted_protocol))
        transport = Http2Server if options.grpc_transport == "http2" else GrpcServer
        self._grpc: GrpcServer | Http2Server = transport(self._service, grpc_options(options))
        self._http = HttpServer(
            HttpApp(
                self._plane,
                identity,
                max_bytes=options.http_max_input_size,
                restrictions=_merged(options.http_restricted_api),
            )
        )
        self._metrics = MetricsServer(Metrics(self._plane, self._gauges).render)

    async def run(self) -> int:
        """The exit status: 0 after a signal, 1 if the server could not start or had to end."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _signalled, stop)
        try:
            await self._engine.start()
            await self._listen()
            return await self._until(stop)
        except (OSError, RuntimeError) as error:
            log.error("cannot start: %s", error)
            return 1
        finally:
            await self._shut_down()

    async def _until(self, stop: asyncio.Event) -> int:
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            return 0 if stop.is_set() else serving.result()
        finally:
            serving.cancel()
            stopping.cancel()
            await asyncio.gather(serving, stopping, return_exceptions=True)

    async def _listen(self) -> None:
        options = self._options
        if options.allow_grpc:
            port = await self._grpc.start(f"{options.grpc_address}:{options.grpc_port}")
            log.info("Started GRPCInferenceService at %s:%d", options.grpc_address, port)
        if options.allow_http:
            port = await self._http.start(
                options.http_address, options.http_port, reuse_port=options.reuse_http_port
            )
            log.info("Started HTTPService at %s:%d", options.http_address, port)
        if options.allow_metrics:
            port = await self._metrics.start(options.metrics_address, options.metrics_port)
            log.info("Started Metrics Service at %s:%d", options.metrics_address, port)

    async def _serve(self) -> int:
        """Loads the models and follows the repositories; returns only if the server has to end."""
        try:
            with self._bars:
                failures = await self._repository.start()
        except ServerError as error:
            log.error("cannot start: %s", error.message)
            return 1
        show_models([model_row(status) for status in self._repository.statuses()])
        for failure in failures:
            log.error("failed to load '%s': %s", failure.name, failure.reason)
        if failures and self._options.exit_on_error:
            log.error("%d models failed to load, and --exit-on-error is set", len(failures))
            return 1
        # What lives now lives for long; looking through it again and again would only cost latency.
        gc.collect()
        gc.freeze()
        log.info("Ready")
        await self._repository.run()
        await asyncio.Event().wait()
        return 0

    async def _shut_down(self) -> None:
        log.info("Shutting down; requests under way have %g s", self._options.exit_timeout_secs)
        self._plane.stop_accepting()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._plane.drained(), self._options.exit_timeout_secs)
        await asyncio.gather(self._grpc.stop(1.0), self._http.stop(1.0))
        await self._metrics.stop()
        self._plane.facilities.tracer.close()
        # The engine first: it tells all who wait for a worker that there is none any more.
        await self._engine.stop()
        await self._repository.close()
        await self._pool.close()

    def _gauges(self) -> ServerGauges:
        return ServerGauges(
            self._engine.gauges(),
            self._loader.load_seconds,
            self._engine.prediction_errors,
            self._service.stages.quantiles_ns(),
            longest_turn_ns(asyncio.get_running_loop()),
        )

    def _changed(self, status: VersionStatus) -> None:
        log_change(status)
        if status.serving is None or self._options.cache_config is not None:
            return
        if status.serving.served.config.response_cache.enable:
            log_notice(status.name, "response_cache.enable: no effect without --cache-config")


def _signalled(stop: asyncio.Event) -> None:
    """The first signal lets requests under way end, a second one does not wait for them."""
    if stop.is_set():
        log.error("Ending at once")
        os._exit(1)
    stop.set()


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


def worker_options(options: ServeOptions) -> tuple[WorkerOptions, ...]:
    """A worker for each device, on a core of its own where there are enough."""
    devices = options.device
    return tuple(
        WorkerOptions(
            device,
            options.device_memory or default_memory(device),
            WORKSPACE_BYTES,
            slot_bytes=slot_bytes(device),
            cores=cores_for(index, len(devices)),
        )
        for index, device in enumerate(devices)
    )


def _leave_cores_to(workers: Sequence[WorkerOptions]) -> None:
    """Takes this process, and the converters it starts, off the cores of the workers."""
    rest = os.sched_getaffinity(0) - {core for worker in workers for core in worker.cores}
    if rest:
        os.sched_setaffinity(0, rest)


def _allow_open_files() -> None:
    """Each connection and each region of shared memory is one; many systems begin with 1024 allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
