"""One client connection of the production server, with the limits that protect the process.

uvicorn parses, runs the application and holds it back while a client does not read. Added here: how many connections
there may be, how long a head may take and how large it may be, how slow a body, how long a client may take nothing.
What is turned away here never became a request, so it has no record; /metrics counts it.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway_project.metrics import turned_away
from routing.cycle import Cycle
from routing.formats.errors import render_error
from routing.outbox import Outlet, outbox_of
from routing.proxy.bodies import Body, ClientGone
from routing.proxy.errors import GatewayError
from routing.proxy.ids import new_request_id
from routing.proxy.paths import destination
from routing.serving import Limits

RESERVE = 64  # connections beyond the limit that still get an answer: the refusal, or one of these
ALWAYS = (b"/healthz", b"/readyz", b"/metrics")
GRACE_SECONDS = 5.0  # after the gateway's own answer to a slow body was due
QUIET_SECONDS = 1.0  # a connection that was used so recently may be about to be used again
MOST_DISCARDED = 1024 * 1024  # bytes of a refused request's body that are read, so that the answer can be
_LATE_HEAD = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NO_SOCKET = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LARGE_HEAD = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

TOO_MANY = GatewayError(
    503, "api_error", "The gateway has too many connections; try again in a second.", "connections", retry_after=1
)
TOO_LARGE = GatewayError(
    431, "invalid_request_error", "The request's headers are larger or more than this gateway takes.", "headers"
)


@dataclass(slots=True)
class Guard:
    """What the connections of a process share. `retiring`: each is closed after its next answer."""

    limits: Limits
    retiring: bool = False


class Refusal:
    """An application that answers every request with one error, in the client's format, and closes the connection."""

    def __init__(self, error: GatewayError) -> None:
        self._error = error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await Body(receive, [], MOST_DISCARDED).discard()
        except ClientGone:
            return
        request_id = new_request_id()
        status, headers, body = render_error(destination(scope["raw_path"]).format, self._error, request_id)
        headers += [(b"content-length", b"%d" % len(body)), (b"request-id", request_id.encode())]
        headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class GuardedConnection(HttpToolsProtocol):
    """uvicorn's connection. Timers run only while a head, a body or a reader keeps us waiting: a request that comes in
    one piece and an answer that is read cost no timer."""

    def __init__(self, guard: Guard, **options: Any) -> None:
        super().__init__(**options)
        self._guard = guard
        self._limits = guard.limits
        self._in_head, self._in_body = True, False
        self._head_size = 0
        self._heard = 0.0
        self._quiet_since = math.inf  # since when the connection waits for its next request
        self._beyond = False
        self._running: RequestResponseCycle | None = None  # the request that is served
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._outbox = outbox_of(self.loop)
        super().connection_made(cast(asyncio.Transport, Outlet(transport, self._outbox)))
        count, most = len(self.connections), self._limits.connections
        if count > most + RESERVE:
            turned_away("connections")
            transport.abort()
            return
        self._beyond = count > most
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        # uvicorn tells the request that was read last, which is not the one that runs if several were sent ahead.
        for cycle in (self._running, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self._running = None
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """From here on it is another protocol's connection, one of those that count; or none, where it is refused."""
        self._stop_timers()
        self._in_head = self._in_body = False
        if isinstance(self.app, Refusal) or self._guard.retiring:
            self._end_with(_LARGE_HEAD if self._is_large() else _NO_SOCKET)
            return
        outlet = cast(Outlet, self.transport)
        outlet.send()
        self.transport = outlet.transport  # nobody sends what is held when the other side ends a websocket
        super().handle_websocket_upgrade()

    def eof_received(self) -> None:
        if self._outbox.holding:
            self._outbox.send()  # the transport closes itself after this

    def data_received(self, data: bytes) -> None:
        if self._outbox.holding:
            self._outbox.send()
        if self._in_head:
            self._head_size += len(data)
        super().data_received(data)
        if self._in_body:
            self._heard = self.loop.time()
            if self._body_timer is None:
                self._body_timer = self.loop.call_later(self._limits.body_seconds + GRACE_SECONDS, self._body_late)
        elif self._in_head and self._head_size and not self.transport.is_closing():
            self._head_goes_on()
        elif (
            self._in_head and self._quiet_since == math.inf and self.cycle is not None and self.cycle.response_complete
        ):
            self._be_quiet()  # this was the rest of a body that nobody had waited for; after an upgrade there is no head

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._beyond and self._is_beyond():
            turned_away("connections")
            self.app = Refusal(TOO_MANY)
        elif self._is_large():
            turned_away("headers")
            self.app = Refusal(TOO_LARGE)
        super().on_headers_complete()
        if type(self.cycle) is RequestResponseCycle:  # just made, and not begun yet
            self.cycle.__class__ = Cycle
        if (self._guard.retiring or self._beyond) and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_head, self._in_body = True, False
        self._head_size = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but for the timer of a quiet connection: one that looks at a moment, instead of one for each answer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._be_quiet()

    def _be_quiet(self) -> None:
        if self.transport.is_closing():
            return
        self._quiet_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _unset_keepalive_if_required(self) -> None:
        self._quiet_since = math.inf

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        left = self._quiet_since + self.timeout_keep_alive - self.loop.time()
        if left == math.inf:
            return  # the end of the answer that is under way begins anew
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        elif not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._send_timer is None:
            self._send_timer = self.loop.call_later(self._limits.send_seconds, self._reader_stalls)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def retire(self, now: float) -> None:
        """Closes the connection if nothing has come on it for a moment; otherwise its next answer is its last."""
        quiet_since = None
        never_asked: bool = self.scope is None
        if self._quiet_since < math.inf:
            quiet_since = self._quiet_since
        elif never_asked and self._head_timer is not None and not self._head_size:
            quiet_since = self._head_timer.when() - self._limits.head_seconds
        if quiet_since is not None and now - quiet_since >= QUIET_SECONDS:
            self.transport.close()

    # What takes too long

    def _head_goes_on(self) -> None:
        if self._head_size > self._limits.head_bytes:
            turned_away("headers")
            self._end_with(b"" if self._is_serving else _LARGE_HEAD)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_late)

    def _head_late(self) -> None:
        self._head_timer = None
        if self._is_serving:  # the head of a request that the client sent ahead; it waits for its turn
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_late)
            return
        turned_away("slow_head")
        self._end_with(_LATE_HEAD if self._head_size else b"")

    def _body_late(self) -> None:
        """Ends what the application has not: it has answered already, or reads without a limit of its own."""
        self._body_timer = None
        if not self._in_body or self.transport.is_closing():
            return
        now = self.loop.time()
        if self.flow.read_paused:
            self._heard = now  # it is the application that keeps the client waiting
        due = self._heard + self._limits.body_seconds + GRACE_SECONDS
        if now >= due:
            turned_away("slow_body")
            self.transport.close()
        else:
            self._body_timer = self.loop.call_at(due, self._body_late)

    def _reader_stalls(self) -> None:
        self._send_timer = None
        turned_away("stalled_reader")
        self.transport.abort()

    def _end_with(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()

    @property
    def _is_serving(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _is_beyond(self) -> bool:
        return len(self.connections) > self._limits.connections and self.url.partition(b"?")[0] not in ALWAYS

    def _is_large(self) -> bool:
        if len(self.headers) > self._limits.headers:
            return True
        if self._head_size <= self._limits.head_bytes:
            return False  # with as much of the body as came along
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > self._limits.head_bytes

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._body_timer, self._send_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._body_timer = self._send_timer = self.timeout_keep_alive_task = None
