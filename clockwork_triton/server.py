"""The composition root: builds the parts, starts them in order, and drains them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import pickle
import resource
import signal
import time
from collections.abc import Sequence

from clockwork_triton import __version__
from clockwork_triton.console import ConversionBars, show_models
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.options import Options as ControllerOptions
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.devices import check_gpus
from clockwork_triton.engine.engine import Engine
from clockwork_triton.engine.options import EngineOptions
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.event_loop import longest_turn_ns
from clockwork_triton.flag_settings import latency_options
from clockwork_triton.flags import ServeOptions
from clockwork_triton.frontend.allocator import keep_freed_memory
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.gpu_sampler import GpuSampler
from clockwork_triton.frontend.metrics import Metrics
from clockwork_triton.frontend.metrics_http import MetricsServer
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.gateway.arena import make_arena
from clockwork_triton.gateway.hub import Hub, HubOptions
from clockwork_triton.gateway.report import Report, take
from clockwork_triton.gateway.shared_state import SharedState
from clockwork_triton.loader import ArtifactLoader
from clockwork_triton.nvml import Nvml
from clockwork_triton.ports import Ports
from clockwork_triton.reports import log_change, log_notice, model_row
from clockwork_triton.repository.plan import ConfigOptions
from clockwork_triton.repository.repository import ControlMode, Repository
from clockwork_triton.repository.status import VersionStatus
from clockwork_triton.telemetry.gauges import ServerGauges
from clockwork_triton.telemetry.logs import Log
from clockwork_triton.telemetry.stages import quantiles_ns
from clockwork_triton.telemetry.statistics import Statistics
from clockwork_triton.telemetry.trace_settings import from_options
from clockwork_triton.telemetry.tracer import Tracer
from clockwork_triton.workers import announce, leave_cores_to, worker_options
from converters.pool import ConversionPool

log = logging.getLogger(__name__)

OPEN_FILES = 1 << 16
BUFFER_SHARE = 0.08
"""Of a request's budget, for the way of its answer through a front end that shares its core with clients."""


class Server:
    """One server, made and run inside the event loop. `run` serves until SIGTERM or SIGINT."""

    def __init__(self, options: ServeOptions, log: Log) -> None:
        """ServerError if the options make no sense together, or name a GPU that cannot be used."""
        self._options = options
        check_gpus(options.device)
        if options.frontends:
            _check_front_ends(options)
        arena_fds = tuple(make_arena(number) for number in range(options.frontends))
        workers = worker_options(options, arena_fds)
        announce(workers)
        leave_cores_to(workers)
        keep_freed_memory()
        _allow_open_files()
        self._bars = ConversionBars()
        controller = Controller(POLICIES[options.policy](), ControllerOptions(buffer_share=BUFFER_SHARE))
        self._engine = Engine(controller, EngineOptions(workers, options.action_log, options.request_log))
        self._pool = ConversionPool(options.artifact_cache)
        self._loader = ArtifactLoader(
            self._pool,
            self._engine,
            self._bars,
            options.device,
            fallback=options.fallback,
            threads=options.threads,
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
        self._statistics = Statistics(latency_options(options.metrics_config))
        self._plane = DataPlane(
            self._repository,
            self._engine,
            self._statistics,
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
        self._ports = Ports(options, self._plane, ServerIdentity(options.id, __version__))
        nvml = Nvml.open() if options.allow_metrics and options.allow_gpu_metrics else None
        gpus = GpuSampler(nvml.states) if nvml is not None else None
        self._exposition = Metrics(self._plane, self._gauges, gpus=gpus)
        self._metrics = MetricsServer(self._render)
        self._reports: Sequence[Report] = ()
        self._hub = self._make_hub(arena_fds) if arena_fds else None

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
        if self._hub is None:
            await self._ports.listen()
        else:
            await self._hub.start()
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
        if self._hub is not None:
            await self._hub.stop(self._options.exit_timeout_secs)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._plane.drained(), self._options.exit_timeout_secs)
        if self._hub is None:
            await self._ports.stop(1.0)
        await self._metrics.stop()
        self._plane.facilities.tracer.close()
        # The engine first: it tells all who wait for a worker that there is none any more.
        await self._engine.stop()
        await self._repository.close()
        await self._pool.close()

    def _gauges(self) -> ServerGauges:
        stages = self._ports.service.stages.durations_ns()
        turns_ns = [longest_turn_ns(asyncio.get_running_loop())]
        for report in self._reports:
            stages += report.stages
            turns_ns.append(report.longest_turn_ns)
        return ServerGauges(
            self._engine.gauges(),
            self._loader.load_seconds,
            self._engine.prediction_errors,
            quantiles_ns(stages),
            max(turns_ns),
        )

    async def _render(self) -> str:
        if self._hub is not None:
            await self._hub.collect()
        await self._exposition.sample()
        return self._exposition.render()

    def _make_hub(self, arena_fds: Sequence[int]) -> Hub:
        return Hub(
            HubOptions(pickle.dumps(self._options), arena_fds),
            self._engine,
            self._ports.service,
            self._ports.app,
            state=self._shared_state,
            take=self._take,
        )

    def _shared_state(self) -> bytes:
        facilities = self._plane.facilities
        return pickle.dumps(
            SharedState.of(self._repository.ready, facilities.shared_memory, facilities.log.settings)
        )

    def _take(self, reports: Sequence[Report]) -> None:
        self._reports = reports
        take(reports, self._plane, self._statistics)

    def _changed(self, status: VersionStatus) -> None:
        log_change(status)
        if self._hub is not None:
            self._hub.changed()
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


def _check_front_ends(options: ServeOptions) -> None:
    """ServerError where processes cannot share the ports: each would be given one of its own."""
    if (options.allow_grpc and not options.grpc_port) or (options.allow_http and not options.http_port):
        raise ServerError(Code.INVALID_ARG, "--frontends needs ports that are named, not 0")
    if options.trace_config:
        log_notice("", "--trace-config: front ends of their own processes write no traces")


def _allow_open_files() -> None:
    """Each connection and each region of shared memory is one; many systems begin with 1024 allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
