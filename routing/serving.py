"""One process of the production server: uvicorn, with a way out that finishes what runs.

On SIGTERM, SIGINT or SIGHUP the gateway first refuses new requests (503 with `retry-after: 1`) while the listener is
still open and running requests go on; then, when none is left or the time is over, uvicorn closes down and the process
ends with 0. A second signal ends what runs. Under the supervisor the orders come over a socket, the link: these two,
and a third, to hand over: stop listening, refuse nothing, finish. A process drains, too, when its supervisor is gone.
"""

import asyncio
import ctypes
import functools
import gc
import resource
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import uvicorn

from gateway_project.metrics import FIGURES, lagged
from gateway_project.telemetry import logger

if TYPE_CHECKING:
    from routing.connections import Guard

log = logger(__name__)

READY = b"R"  # over the link, from the process
DRAIN, HAND_OVER, LEAVE = b"D", b"H", b"X"  # to the process
BACKLOG = 2048
LAG_SECONDS = 0.25  # between two looks at how late the event loop is
SOCKET_MESSAGE_BYTES = 4096  # pages have nothing to say over a websocket
SOCKET_PING_SECONDS = 20.0  # a page that does not answer a ping for as long, as one that does not read, is cut off
LARGE_BYTES = 128 * 1024  # a piece of memory that is worth asking the system for, each time
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # as mallopt(3) calls them
ENDING_SECONDS = 5  # for requests that were told to end to write their last bytes and records


class CannotListen(Exception):
    """The address cannot be served; the text is one line for the operator."""


class Drainable(Protocol):
    """What the server asks of the gateway: to refuse new requests, and how many are running."""

    draining: bool

    @property
    def active(self) -> int: ...


@runtime_checkable
class Retirable(Protocol):
    """A connection that knows when it may be closed without cutting off a request."""

    def retire(self, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What protects a process from its clients; docs/configure.md says what each is."""

    connections: int = 4096
    head_bytes: int = 64 * 1024
    headers: int = 200
    head_seconds: float = 30
    body_seconds: float = 60
    send_seconds: float = 900
    keep_alive_seconds: int = 75


@dataclass(frozen=True, slots=True)
class Process:
    """What one server process needs: its listening socket, the link if it has a supervisor, the seconds to drain, its
    limits, and what is to be done every second."""

    listener: socket.socket
    link: socket.socket | None
    drain_seconds: float
    limits: Limits = field(default_factory=Limits)
    each_second: Callable[[], Awaitable[None]] | None = None


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on `host` and `port` (0: any free one); raises `CannotListen`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"cannot listen on {host}: {error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise CannotListen(f"port {port} of {host} cannot be used: {error.strerror}") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """The listener's address as a URL; a wildcard address is shown as it is."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run_process(application: object, gateway: Callable[[], Drainable], process: Process) -> None:
    """Serves until told to stop, then returns. `gateway` gives the application's runtime once it has started."""
    from routing.connections import Guard, GuardedConnection  # loads the gateway's path; the supervisor does without

    guard = Guard(process.limits)
    _raise_descriptor_limit(process.limits.connections)
    _give_memory_back()
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        loop="uvloop",
        http=functools.partial(GuardedConnection, guard),  # type: ignore[arg-type]
        ws="websockets-sansio",
        ws_max_size=SOCKET_MESSAGE_BYTES,
        ws_ping_interval=SOCKET_PING_SECONDS,
        ws_ping_timeout=SOCKET_PING_SECONDS,
        ws_per_message_deflate=False,  # messages are short, and a compressor for each socket is not
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,  # records are the log of requests
        server_header=False,
        proxy_headers=False,  # GATEWAY_TRUSTED_PROXIES decides whom to believe, not the server
        timeout_keep_alive=process.limits.keep_alive_seconds,
        backlog=BACKLOG,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )
    server = GatewayServer(config, gateway, process, guard)
    # Replacing workers without a gap is the supervisor's business; a lone process drains, and whoever started it starts
    # the next one.
    signal.signal(signal.SIGHUP, server.handle_exit if process.link is None else signal.SIG_IGN)
    server.run(sockets=[process.listener])


class GatewayServer(uvicorn.Server):
    """uvicorn's server, sleeping until it is told to leave, and draining before it closes the listener."""

    def __init__(
        self, config: uvicorn.Config, gateway: Callable[[], Drainable], process: Process, guard: "Guard"
    ) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._process = process
        self._guard = guard
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hands_over = False
        self._until = 0.0  # when the draining ends, once it has begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        _settle_collector()
        FIGURES.connections = lambda: len(self.server_state.connections)
        self._measure_lag(self._loop, self._loop.time())
        link = self._process.link
        if link is not None:
            link.setblocking(False)
            self._loop.add_reader(link, self._read_link, link)
            try:
                link.send(READY)
            except OSError:
                pass  # the supervisor is gone already; reading the link says so next
        log.info("serving", address=url_of(self._process.listener))

    async def main_loop(self) -> None:
        """Wakes once a second for the date header (uvicorn's own loop: ten times), and at once when told to leave."""
        while not await self.on_tick(0):
            if self._process.each_second is not None:
                await self._process.each_second()
            try:
                await asyncio.wait_for(self._told.wait(), 1)
            except TimeoutError:
                continue

    def _measure_lag(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        lagged(max(0.0, now - due))
        loop.call_at(now + LAG_SECONDS, self._measure_lag, loop, now + LAG_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal. The first begins the draining; a second ends it, unless a supervisor gives the orders: service
        managers signal it and its workers alike, and that must not count twice."""
        if self.should_exit and self._process.link is None:
            self.force_exit = True
        self._drain(signal.Signals(sig).name)

    def _read_link(self, link: socket.socket) -> None:
        order = link.recv(1)
        if order in {b"", LEAVE} and self._loop is not None:
            self._loop.remove_reader(link)
        self.force_exit = self.force_exit or order == LEAVE
        self._hands_over = order == HAND_OVER and not self.should_exit
        self._drain("supervisor" if order else "supervisor gone")

    def _drain(self, why: str) -> None:
        if self.should_exit:
            return
        self.should_exit = True
        if self.started:
            self._gateway().draining = not self._hands_over
            log.info("draining", why=why, hands_over=self._hands_over, requests=self._gateway().active)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._hands_over:
            await self._retire_connections()
        await self._wait_for_requests()
        if self._gateway().active:
            # The application ends what still runs, in order and with its records, while the connections are still open.
            log.warning("ending requests", requests=self._gateway().active)
            await self.lifespan.shutdown()
        await super().shutdown(sockets)
        await self.lifespan.shutdown()  # which uvicorn leaves out after a second signal; said twice it changes nothing
        log.info("stopped")

    async def _retire_connections(self) -> None:
        """Accepts no more, and lets go of each connection when its client cannot be about to use it: a busy one with its
        next answer, a quiet one after a moment."""
        for server in self.servers:
            server.close()
        self._guard.retiring = True
        loop = asyncio.get_running_loop()
        until = self._until = loop.time() + self._process.drain_seconds
        for connection in list(self.server_state.connections):
            if not isinstance(connection, Retirable):
                connection.shutdown()  # a websocket: its page connects again
        while self.server_state.connections and not self.force_exit and loop.time() < until:
            await asyncio.sleep(0.1)
            for connection in list(self.server_state.connections):
                if isinstance(connection, Retirable):
                    connection.retire(loop.time())

    async def _wait_for_requests(self) -> None:
        loop = asyncio.get_running_loop()
        until = self._until or loop.time() + self._process.drain_seconds
        while self._gateway().active and not self.force_exit and loop.time() < until:  # noqa: ASYNC110 - only a count
            await asyncio.sleep(0.05)


def _settle_collector() -> None:
    """What lives from the start to the end (Django, the libraries, our modules: some hundred thousand objects) is
    frozen and so left out of every later collection; and as requests make few cycles, collections of the youngest
    objects may come seldom. Without this a full collection stops every stream for tens of milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _give_memory_back() -> None:
    """Large pieces of memory go back to the system when they are freed. By itself the C library (glibc) stops doing so after the
    first large body, and keeps what one busy moment needed: 45 MiB more after 100 stalled readers (measured 2026-11)."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(_TRIM_THRESHOLD, 2 * LARGE_BYTES)


def _raise_descriptor_limit(connections: int) -> None:
    """Open files up to what the system allows: a streamed request holds two, its client's connection and its upstream's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 512
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("few open files are allowed for so many connections", allowed=most, connections=connections)
