"""The streams of one connection: how they begin, receive and end (RFC 9113, 5 and 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.blocks import literals, status_literals
from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.control import Control
from clockwork_triton.frontend.http2.deadlines import Deadlines
from clockwork_triton.frontend.http2.early_ends import EarlyEnds
from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode, StreamFault
from clockwork_triton.frontend.http2.head import Refusal, RequestHead, check_fields, parse_head
from clockwork_triton.frontend.http2.hpack_cache import HeaderDecoder
from clockwork_triton.frontend.http2.limits import Limits, RequestMemory
from clockwork_triton.frontend.http2.sender import Sender
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.frontend.http2.stream import Stream

_ACCEPT_ENCODING = literals([(b"grpc-accept-encoding", b"identity,deflate,gzip")])


class Session:
    """`streams` holds the calls whose end has not been sent; `now_ns` is when bytes were last read, and
    `arrival_ns` since when they may have waited for that. `emptied()` is called when the last stream that was
    accepted before `stop_accepting` has ended, `drain_acknowledged()` when the client has read that the
    server drains."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        *,
        memory: RequestMemory,
        clock: Clock,
        sender: Sender,
        drain_acknowledged: Callable[[], None],
        emptied: Callable[[], None],
    ) -> None:
        self.limits = limits
        self.memory = memory
        self.clock = clock
        self.sender = sender
        sender.ended = self.ended
        self.now_ns = self.arrival_ns = clock.now_ns()
        self.peer = ""
        self.streams: dict[int, Call] = {}
        self.recv_left = limits.connection_window
        self.last_id = 0
        self.drain_acknowledged = drain_acknowledged
        self._emptied = emptied
        self._last_accepted = frames.MAX_STREAM_ID
        self._reading = False
        self._early_ends = EarlyEnds()
        self._to_stop: set[int] = set()
        self._lingering: set[asyncio.Task[None]] = set()
        self._control = Control(self)
        self.control_frame = self._control.receive
        self.window_update = self._control.window_update
        self._deadlines = Deadlines(clock, self.streams)
        routes, header_list_bytes = service.routes, limits.header_list_bytes
        self._headers = HeaderDecoder(
            lambda fields: parse_head(fields, routes, header_list_bytes), 4 * header_list_bytes
        )
        self._known_heads = self._headers.known

    # Frames, from the reader.

    def greet(self) -> None:
        """The client speaks HTTP/2."""
        limits = self.limits
        settings = (
            (frames.MAX_CONCURRENT_STREAMS, limits.concurrent_streams),
            (frames.INITIAL_WINDOW_SIZE, limits.stream_window),
            (frames.MAX_FRAME_SIZE, limits.frame_bytes),
            (frames.MAX_HEADER_LIST_SIZE, limits.header_list_bytes),
        )
        self.sender.control(frames.settings(settings))
        if limits.connection_window > frames.DEFAULT_WINDOW:
            increment = limits.connection_window - frames.DEFAULT_WINDOW
            self.sender.control(frames.window_update(0, increment))

    def request(self, stream_id: int, block: bytes, ended: bool) -> None:
        if stream_id <= self.last_id or not stream_id & 1:
            self._trailers(stream_id, block, ended)
            return
        self.last_id = stream_id
        head = self._known_heads.get(block)
        if head is None:
            head = self._headers.head(block)
        if stream_id > self._last_accepted:
            self._early_ends.add(stream_id)
        elif len(self.streams) + len(self._lingering) >= self.limits.concurrent_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many streams")
        elif head.refusal is not None:
            self._refuse(stream_id, head.refusal, ended)
        else:
            self._accept(stream_id, head, ended)

    def data_frame(self, stream_id: int, length: int, ends: bool) -> Call | None:
        if length > self.recv_left:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is exceeded")
        self.recv_left -= length
        call = self.streams.get(stream_id)
        if call is None:
            self._stray(stream_id, "DATA", ends)
            return None
        if not call.remote_open:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA after the end of the request")
        if length > call.recv_left:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is exceeded")
        call.recv_left -= length
        return call

    def idle_data(self, call: Call | None, padding: int) -> None:
        self._control.spend("frames of padding and empty DATA frames")
        if padding and call is not None and call.remote_open:
            self.grant(call, padding)

    def stream_fault(self, stream_id: int, fault: StreamFault) -> None:
        call = self.streams.get(stream_id)
        self.reset(stream_id, fault.code)
        if call is not None:
            self._control.spend_young(call)
        elif fault.code != ErrorCode.REFUSED_STREAM:
            self._control.spend("malformed frames")

    def begin_read(self, now_ns: int, arrival_ns: int) -> None:
        self.now_ns = now_ns
        self.arrival_ns = arrival_ns
        self._reading = True

    def end_read(self) -> None:
        """Stops the requests that were answered early and did not end by themselves meanwhile; gives back the
        connection's window: what bounds memory are the windows of the streams."""
        self._reading = False
        for stream_id in self._to_stop:
            self.sender.control(frames.rst_stream(stream_id, ErrorCode.NO_ERROR))
        self._to_stop.clear()
        window = self.limits.connection_window
        if self.recv_left <= window // 2:
            self.sender.control(frames.window_update(0, window - self.recv_left))
            self.recv_left = window

    # What control frames ask for.

    def reset_by_client(self, call: Call) -> None:
        self._remove(call)
        call.cancel()

    def is_idle(self, stream_id: int) -> bool:
        return stream_id > self.last_id or not stream_id & 1

    # What calls ask for.

    def grant(self, stream: Stream, size: int) -> None:
        if stream.remote_open:
            stream.recv_left += size
            self.sender.control(frames.window_update(stream.id, size))

    def is_open(self, stream: Stream) -> bool:
        return self.streams.get(stream.id) is stream

    def linger(self, task: asyncio.Task[None]) -> None:
        self._lingering.add(task)
        task.add_done_callback(self._lingering.discard)

    # What the sender reports.

    def ended(self, stream: Stream) -> bool:
        """The stream's last frame is on its way. Whether it was the last stream."""
        if stream.remote_open:
            self._early_ends.add(stream.id)
            if self._reading:
                self._to_stop.add(stream.id)
            else:
                self.sender.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
        self.streams.pop(stream.id, None)
        if stream.id <= self._last_accepted < frames.MAX_STREAM_ID and not self.streams:
            self._emptied()
        return not self.streams

    # The connection's end.

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream by RST_STREAM."""
        self.sender.control(frames.rst_stream(stream_id, code))
        self._early_ends.add(stream_id)
        call = self.streams.get(stream_id)
        if call is not None:
            self._remove(call)
            call.cancel()

    def stop_accepting(self) -> None:
        """Later streams are ignored: a GOAWAY must name `last_id`."""
        self._last_accepted = min(self._last_accepted, self.last_id)
        if not self.streams:
            self._emptied()

    def answer_all(self, error: RpcError) -> None:
        for call in list(self.streams.values()):
            call.reject(error)

    def cancel_all(self) -> None:
        """The client is gone."""
        self._deadlines.cancel()
        for call in list(self.streams.values()):
            self._remove(call)
            call.cancel()

    def _accept(self, stream_id: int, head: RequestHead, ended: bool) -> None:
        assert head.route is not None
        call = head.route.call_type(self, stream_id, head)
        self.streams[stream_id] = call
        if call.deadline_ns is not None:
            self._deadlines.watch(call.deadline_ns)
        call.start()
        if ended:
            call.receive(b"", 0, 0, True)

    def _refuse(self, stream_id: int, refusal: Refusal, ended: bool) -> None:
        stream = Stream(stream_id, 0)
        stream.remote_open = not ended
        status = status_literals(RpcError(refusal.status, refusal.message))
        if refusal.http_status != 200:
            self.sender.http_error(stream, refusal.http_status, status)
        elif refusal.status is Status.UNIMPLEMENTED:
            self.sender.finish(stream, status + _ACCEPT_ENCODING)
        else:
            self.sender.finish(stream, status)

    def _trailers(self, stream_id: int, block: bytes, ended: bool) -> None:
        if stream_id == 0 or not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}")
        fields = self._headers.fields(block)
        call = self.streams.get(stream_id)
        if call is None:
            self._stray(stream_id, "HEADERS", ended)
            return
        if not call.remote_open:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the request")
        if not ended:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "trailers end the stream")
        check_fields(fields)
        call.receive(b"", 0, 0, True)

    def _stray(self, stream_id: int, what: str, ends: bool) -> None:
        """A frame for no open stream."""
        if ends:
            self._to_stop.discard(stream_id)
        if self.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"{what} on idle stream {stream_id}")
        if not self._early_ends.may_hold(stream_id):
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"{what} on stream {stream_id}, which is closed")

    def _remove(self, call: Call) -> None:
        self.streams.pop(call.id, None)
        self.sender.drop(call)
        if self._last_accepted < frames.MAX_STREAM_ID and not self.streams:
            self._emptied()
