"""Opens connections: a name becomes addresses, the addresses are checked, and only checked ones are connected to."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest

import httpx
from aiohttp.abc import AbstractResolver

from routing.proxy.addresses import AddressRefused, CheckedResolver, check_literal
from routing.proxy.transports.connection import Connection, Limits, Origin
from routing.proxy.transports.tls import TlsContext

Address = tuple[socket.AddressFamily, str]

FRESH_SECONDS = 30.0  # that a name's addresses are used without asking again
STALE_SECONDS = 3600.0  # that they are used while asking fails
MOST_NAMES = 256
MOST_ADDRESSES = 8
STAGGER_SECONDS = 0.25  # after which the next address is tried beside the one before it (RFC 8305)


class Names:
    """Addresses by name, kept for a while. One look-up of a name runs at a time, whoever waits for it."""

    def __init__(self, resolver: AbstractResolver, clock: Callable[[], float]) -> None:
        self._resolver = resolver
        self._clock = clock
        self._known: dict[str, tuple[float, list[Address]]] = {}
        self._asking: dict[str, asyncio.Task[list[Address]]] = {}

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The checked addresses, each time beginning with another one. Raises OSError, `AddressRefused` among them."""
        at, known = self._known.get(host, (0.0, []))
        if not known or self._clock() - at > FRESH_SECONDS:
            task = self._asking.get(host)
            if task is None:
                task = self._asking[host] = asyncio.ensure_future(self._ask(host, port))
                task.add_done_callback(lambda done: self._answered(host, done))
            known = await asyncio.shield(task)
        chosen = known[:MOST_ADDRESSES]
        if len(known) > 1:
            known.append(known.pop(0))
        return chosen

    async def _ask(self, host: str, port: int) -> list[Address]:
        try:
            found = await self._resolver.resolve(host, port, socket.AF_UNSPEC)
        except AddressRefused:
            self._known.pop(host, None)
            raise
        except OSError:
            at, known = self._known.get(host, (0.0, []))
            if known and self._clock() - at < STALE_SECONDS:
                return known
            raise
        addresses = _alternating([(socket.AddressFamily(each["family"]), each["host"]) for each in found])
        if not addresses:
            raise OSError(f"{host} has no address")
        if len(self._known) >= MOST_NAMES:
            self._known.clear()
        self._known[host] = (self._clock(), addresses)
        return addresses

    def _answered(self, host: str, task: "asyncio.Task[list[Address]]") -> None:
        self._asking.pop(host, None)
        if not task.cancelled():
            task.exception()  # whoever waited has got it; if nobody did, nobody needs it

    async def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
        await self._resolver.close()


class Dialer:
    """Opens connections under one provider's address rules. Must be closed."""

    def __init__(self, *, allow_private: bool, tls: TlsContext, resolver: AbstractResolver | None = None) -> None:
        self._allow_private = allow_private
        self._tls = tls
        self._names = Names(CheckedResolver(allow_private, resolver), asyncio.get_running_loop().time)

    async def dial(self, origin: Origin, limits: Limits, free: Callable[[Connection, bool], None]) -> Connection:
        """An open connection, its TLS handshake done. Raises ConnectError, and ConnectTimeout when `connect` is over."""
        try:
            async with asyncio.timeout(limits.connect) as timer:
                return await self._dial(origin, free)
        except TimeoutError as error:
            if timer.expired():
                raise httpx.ConnectTimeout(f"no connection within {limits.connect:g} s") from None
            raise httpx.ConnectError(str(error)) from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error) or type(error).__name__) from error

    async def _dial(self, origin: Origin, free: Callable[[Connection, bool], None]) -> Connection:
        scheme, raw_host, port = origin
        host = raw_host.decode("ascii")
        sock = await _connected(await self._addresses(host, port), port)
        loop = asyncio.get_running_loop()
        tls, name = (self._tls, host.rstrip(".")) if scheme == b"https" else (None, None)
        _, connection = await loop.create_connection(
            lambda: Connection(origin, free), sock=sock, ssl=tls, server_hostname=name
        )
        return connection

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            literal = ipaddress.ip_address(host)
        except ValueError:
            return await self._names.addresses(host, port)
        check_literal(f"//[{host}]" if literal.version == 6 else f"//{host}", self._allow_private)
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, host)]

    async def close(self) -> None:
        await self._names.close()


def _alternating(addresses: list[Address]) -> list[Address]:
    """The families in turns, beginning with the one that the resolver prefers."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    other = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, other)) if each is not None]


async def _connected(addresses: Sequence[Address], port: int) -> socket.socket:
    """A socket that is connected to the first address to answer."""
    if len(addresses) == 1:
        return await _connect(addresses[0], port)
    tasks: list[asyncio.Task[socket.socket]] = []
    try:
        for address in addresses:
            tasks.append(asyncio.ensure_future(_connect(address, port)))
            if winner := await _winner(tasks, STAGGER_SECONDS):
                return winner
        while any(not task.done() for task in tasks):
            if winner := await _winner(tasks, None):
                return winner
        raise next(error for task in tasks if (error := task.exception()) is not None)
    finally:
        for task in tasks:
            task.add_done_callback(_close_late)
            task.cancel()


async def _winner(tasks: "list[asyncio.Task[socket.socket]]", seconds: float | None) -> socket.socket | None:
    """The first of the sockets that is connected; None when all have failed, one has failed, or the time is over."""
    running = [task for task in tasks if not task.done()]
    if running:
        await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done() and not task.cancelled() and task.exception() is None:
            tasks.remove(task)
            return task.result()
    return None


def _close_late(task: "asyncio.Task[socket.socket]") -> None:
    """A socket that nobody waits for any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect(address: Address, port: int) -> socket.socket:
    family, host = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The other side may be gone without a word while a connection is idle, or a model thinks for minutes.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 45), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
    except BaseException:
        sock.close()
        raise
    return sock
