"""A front end in a process of its own: `python -m clockwork_triton.front_end`, as the server starts it.

It parses, checks, lays tensors out and serialises; everything but inferences is answered by the controller's
process, over the channel.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import pickle
import socket
import sys
import time
from collections.abc import Mapping, Sequence

from clockwork_triton import __version__, event_loop
from clockwork_triton.commands.serve import log_settings
from clockwork_triton.errors import ServerError
from clockwork_triton.event_loop import longest_turn_ns, turn_end
from clockwork_triton.flag_settings import latency_options
from clockwork_triton.flags import ServeOptions
from clockwork_triton.frontend.allocator import keep_freed_memory
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.handlers import Call
from clockwork_triton.frontend.http.exchange import HttpRequest, HttpResponse
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.response_cache import ResponseCache
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.gateway.arena import Arena
from clockwork_triton.gateway.dialogue import Dialogue, Handler
from clockwork_triton.gateway.remote_engine import RemoteEngine
from clockwork_triton.gateway.report import Report
from clockwork_triton.gateway.session import MAX_FRAME_BYTES
from clockwork_triton.gateway.shared_state import SharedState
from clockwork_triton.gateway.table import ModelTable
from clockwork_triton.inference import Buffer
from clockwork_triton.ports import Ports
from clockwork_triton.telemetry.logs import Log
from clockwork_triton.telemetry.statistics import Statistics
from clockwork_triton.transport.channel import Channel
from clockwork_triton.transport.clockwork_pb2 import Envelope
from clockwork_triton.worker.process import tie_to_parent

log = logging.getLogger(__name__)


class FrontEnd:
    """Made and run inside the event loop. It ends when it is told to, or with the channel."""

    def __init__(self, channel: socket.socket, arena: Arena) -> None:
        loop = asyncio.get_running_loop()
        self._socket = channel
        self._channel = Channel(
            self._received, self._channel_lost, turn_end(loop), max_frame_bytes=MAX_FRAME_BYTES
        )
        handlers: Mapping[str, Handler] = {
            "state": self._take_state,
            "report": self._report,
            "drain": self._drain,
        }
        self._dialogue = Dialogue(self._channel.send, handlers)
        self._models = ModelTable()
        self._engine = RemoteEngine(self._models, arena, self._channel.send, turn_end(loop))
        self._memory = SharedMemory()
        self._log = Log()
        self._statistics = Statistics()
        self._plane: DataPlane | None = None
        self._ports: Ports | None = None
        self._over = asyncio.Event()

    async def run(self) -> int:
        """The exit status."""
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: self._channel, sock=self._socket)
        setup, state = pickle.loads(await self._dialogue.ask("setup"))
        options: ServeOptions = pickle.loads(setup)
        self._build(options)
        self._take_state(state)
        assert self._ports is not None
        try:
            await self._ports.listen(shared=True)
        except OSError as error:
            await self._dialogue.ask("listening", str(error).encode())
            return 1
        gc.collect()
        gc.freeze()
        await self._dialogue.ask("listening")
        await self._over.wait()
        return 0

    def _build(self, options: ServeOptions) -> None:
        self._log = Log(log_settings(options))
        self._log.install()
        self._memory = SharedMemory(options.allow_client_shm)
        latencies = latency_options(options.metrics_config)
        self._statistics = Statistics(latencies)
        slo_ns = round(options.default_slo_ms * 1e6) if options.default_slo_ms else None
        share = options.cache_config // options.frontends if options.cache_config else None
        self._plane = DataPlane(
            self._models,
            self._engine,
            self._statistics,
            time.monotonic_ns,
            default_slo_ns=slo_ns,
            cache=ResponseCache(share) if share else None,
            facilities=Facilities(self._memory, log=self._log),
        )
        identity = ServerIdentity(options.id, __version__)
        self._ports = Ports(
            options, self._plane, identity, rpc_elsewhere=self._rpc, http_elsewhere=self._http
        )

    # What the controller's process answers.

    async def _rpc(self, path: str, data: Buffer, call: Call) -> bytes:
        return await self._dialogue.ask("rpc", pickle.dumps((path, bytes(data), tuple(call))))

    async def _http(self, path: str, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = pickle.loads(await self._dialogue.ask("http", pickle.dumps((path, request))))
        return response

    # What it asks.

    def _take_state(self, content: bytes) -> bytes:
        state: SharedState = pickle.loads(content)
        self._models.read(state.models)
        self._log.update(state.log)
        state.share_regions(self._memory)
        return b""

    def _report(self, _: bytes) -> bytes:
        assert self._plane is not None
        assert self._ports is not None
        pending = {(m.served.name, m.served.version): m.pending for m in self._plane.models()}
        stages = self._ports.service.stages.durations_ns()
        turn_ns = longest_turn_ns(asyncio.get_running_loop())
        return pickle.dumps(Report(self._statistics, pending, stages, turn_ns))

    async def _drain(self, content: bytes) -> bytes:
        grace_s: float = pickle.loads(content)
        assert self._plane is not None
        assert self._ports is not None
        self._plane.stop_accepting()
        try:
            await asyncio.wait_for(self._plane.drained(), grace_s)
        except TimeoutError:
            log.warning("requests were still under way after %g s", grace_s)
        await self._ports.stop(1.0)
        return b""

    # The channel.

    def _received(self, envelope: Envelope, _received_ns: int) -> None:
        if envelope.WhichOneof("body") == "answers":
            self._engine.answered(envelope.answers.answers)
        else:
            self._dialogue.received(envelope.note)

    def _channel_lost(self, reason: str) -> None:
        self._dialogue.lose()
        self._over.set()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="clockwork_triton.front_end", description=__doc__)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--channel-fd", type=int, required=True, help="a connected stream socket")
    parser.add_argument("--arena-fd", type=int, required=True, help="the file of its tensors")
    arguments = parser.parse_args(argv)
    tie_to_parent()
    keep_freed_memory()

    async def run() -> int:
        channel = socket.socket(fileno=arguments.channel_fd)
        try:
            return await FrontEnd(channel, Arena(arguments.arena_fd)).run()
        except ServerError as error:
            log.error("front end %d ends: %s", arguments.number, error.message)
            return 1

    return event_loop.run(run())


if __name__ == "__main__":
    sys.exit(main())
