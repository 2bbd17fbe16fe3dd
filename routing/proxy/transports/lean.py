"""A transport of our own on asyncio and httptools: what a proxy needs of HTTP/1.1, and nothing else.

No redirects, no cookies, no proxies from the environment, no content codings. The request goes out as it was given.
"""

from typing import NamedTuple

import httpx
from aiohttp.abc import AbstractResolver

from routing.formats.base import Headers
from routing.proxy.addresses import check_literal
from routing.proxy.transports.body import Body
from routing.proxy.transports.connection import Connection, Limits, Origin, Unanswered
from routing.proxy.transports.dialing import Dialer
from routing.proxy.transports.pool import Pool
from routing.proxy.transports.tls import TlsContext
from routing.proxy.transports.wire import AnswerReader, request_head
from routing.targets import ProviderConf

REPEATABLE = "repeatable"
"""A request's extension: True says that sending it twice does no harm, whatever its method."""

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
_PORTS = {b"http": 80, b"https": 443}
_EXTENSIONS = {"http_version": b"HTTP/1.1"}


class Address(NamedTuple):
    """Where a request goes: the origin, and the target as it stands in the request's first line."""

    origin: Origin
    target: bytes


class LeanTransport(httpx.AsyncBaseTransport):
    """One provider's pool of connections. Belongs to one event loop; must be closed.

    A request's body is bytes, and its headers say how many. Its extension `timeout` is httpx's.
    """

    def __init__(self, provider: ProviderConf, tls: TlsContext, resolver: AbstractResolver | None = None) -> None:
        check_literal(provider.base_url, allow_private=provider.allow_private_addresses)
        self._tls = tls
        self._dialer = Dialer(allow_private=provider.allow_private_addresses, tls=tls, resolver=resolver)
        self._pool = Pool(provider.max_connections, self._dial)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer once its head is here. Raises httpx's transport errors."""
        limits = Limits(**request.extensions.get("timeout", {}))
        address = Address(origin_of(request.url), request.url.raw_path)
        repeatable = request.extensions.get(REPEATABLE) is True
        answer = await self.ask(
            request.method, address, request.headers.raw, _content(request), limits, repeatable=repeatable
        )
        status, headers, body = answer
        return httpx.Response(status, headers=headers, stream=body, request=request, extensions=_EXTENSIONS)

    async def ask(
        self, method: str, address: Address, headers: Headers, content: bytes, limits: Limits, *, repeatable: bool
    ) -> tuple[int, Headers, Body]:
        """The same without httpx's objects, of which a proxy needs nothing: status, headers, body. `repeatable`: sending the
        request twice does no harm, whatever its method.

        A warm connection may have been closed by the other side just as it was used. A request that got not one byte of
        an answer then goes out once more on a fresh one, if it is repeatable.
        """
        head, origin = request_head(method, address.target, headers), address.origin
        bodiless = method == "HEAD"
        connection = await self._pool.take(origin, limits)
        warm = connection.uses > 0
        try:
            reader, body = await connection.ask(head, content, limits, bodiless=bodiless)
        except Unanswered as failed:
            if failed.begun or not warm or not (repeatable or method in _IDEMPOTENT):
                raise failed.error from None
            reader, body = await self._once_more(origin, head, content, limits, bodiless=bodiless)
        else:
            if not warm and origin[0] == b"https":
                self._remember(connection, origin)
        return reader.status, reader.headers, body

    async def _once_more(
        self, origin: Origin, head: bytes, content: bytes, limits: Limits, *, bodiless: bool
    ) -> tuple[AnswerReader, Body]:
        connection = await self._pool.take(origin, limits, fresh=True)
        try:
            return await connection.ask(head, content, limits, bodiless=bodiless)
        except Unanswered as failed:
            raise failed.error from None

    async def _dial(self, origin: Origin, limits: Limits) -> Connection:
        return await self._dialer.dial(origin, limits, self._pool.free)

    def _remember(self, connection: Connection, origin: Origin) -> None:
        if connection.tls is not None:
            self._tls.keep(origin[1].decode("ascii").rstrip("."), connection.tls.session)

    async def aclose(self) -> None:
        await self._pool.close()
        await self._dialer.close()


def _content(request: httpx.Request) -> bytes:
    try:
        return request.content
    except httpx.RequestNotRead:
        raise httpx.LocalProtocolError("the request's body is not bytes") from None


def origin_of(url: httpx.URL) -> Origin:
    """Raises UnsupportedProtocol for an address that is neither of http nor of https."""
    scheme = url.raw_scheme
    default = _PORTS.get(scheme)
    if default is None or not url.raw_host:
        raise httpx.UnsupportedProtocol("the address begins with neither http:// nor https://")
    return scheme, url.raw_host, url.port or default
