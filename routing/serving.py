"""One process of the production server: uvicorn, with a way out that finishes what runs.

On SIGTERM, SIGINT or SIGHUP the gateway first refuses new requests (503 with `retry-after: 1`) while the listener is
still open and running requests go on; then, when none is left or the time is over, uvicorn closes down and the process
ends with 0. A second signal ends what runs. Under the supervisor the orders come over a socket, the link: these two,
and a third, to hand over: stop listening, refuse nothing, finish. A process drains, too, when its supervisor is gone.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Protocol

import uvicorn

from gateway_project.telemetry import logger

log = logger(__name__)

READY = b"R"  # over the link, from the process
DRAIN, HAND_OVER, LEAVE = b"D", b"H", b"X"  # to the process
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
ENDING_SECONDS = 5  # for requests that were told to end to write their last bytes and records


class CannotListen(Exception):
    """The address cannot be served; the text is one line for the operator."""


class Drainable(Protocol):
    """What the server asks of the gateway: to refuse new requests, and how many are running."""

    draining: bool

    @property
    def active(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Process:
    """What one server process needs: its listening socket, the link if it has a supervisor, the seconds to drain."""

    listener: socket.socket
    link: socket.socket | None
    drain_seconds: float


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
    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,  # records are the log of requests
        server_header=False,
        proxy_headers=False,  # GATEWAY_TRUSTED_PROXIES decides whom to believe, not the server
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        backlog=BACKLOG,
        timeout_graceful_shutdown=ENDING_SECONDS,
    )
    server = GatewayServer(config, gateway, process)
    # Replacing workers without a gap is the supervisor's business; a lone process drains, and whoever started it starts
    # the next one.
    signal.signal(signal.SIGHUP, server.handle_exit if process.link is None else signal.SIG_IGN)
    server.run(sockets=[process.listener])


class GatewayServer(uvicorn.Server):
    """uvicorn's server, sleeping until it is told to leave, and draining before it closes the listener."""

    def __init__(self, config: uvicorn.Config, gateway: Callable[[], Drainable], process: Process) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._process = process
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hands_over = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        _settle_collector()
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
            try:
                await asyncio.wait_for(self._told.wait(), 1)
            except TimeoutError:
                continue

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
            for server in self.servers:
                server.close()
            await asyncio.sleep(0.1)  # a connection that was just accepted gets its first request served
            for connection in list(self.server_state.connections):
                connection.shutdown()
        await self._wait_for_requests()
        if self._gateway().active:
            # The application ends what still runs, in order and with its records, while the connections are still open.
            log.warning("ending requests", requests=self._gateway().active)
            await self.lifespan.shutdown()
        await super().shutdown(sockets)
        await self.lifespan.shutdown()  # which uvicorn leaves out after a second signal; said twice it changes nothing
        log.info("stopped")

    async def _wait_for_requests(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._process.drain_seconds
        while self._gateway().active and not self.force_exit and loop.time() < until:  # noqa: ASYNC110 - only a count
            await asyncio.sleep(0.05)


def _settle_collector() -> None:
    """What lives from the start to the end (Django, the libraries, our modules: some hundred thousand objects) is
    frozen and so left out of every later collection; and as requests make few cycles, collections of the youngest
    objects may come seldom. Without this a full collection stops every stream for tens of milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
