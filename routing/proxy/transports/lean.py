"""A transport of our own on asyncio and httptools: what a proxy needs of HTTP/1.1, and nothing else.

No redirects, no cookies, no proxies from the environment, no content codings. The request goes out as it was given.
"""

import httpx
from aiohttp.abc import AbstractResolver

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
        """The answer once its head is here. Raises httpx's transport errors.

        A warm connection may have been closed by the other side just as it was used. A request that got not one byte of
        an answer then goes out once more on a fresh one, if sending it twice does no harm.
        """
        head, content, origin = request_head(request), _content(request), _origin(request.url)
        limits = Limits(**request.extensions.get("timeout", {}))
        bodiless = request.method == "HEAD"
        connection = await self._pool.take(origin, limits)
        warm = connection.uses > 0
        try:
            reader, body = await connection.ask(head, content, limits, bodiless=bodiless)
        except Unanswered as failed:
            if failed.begun or not warm or not _repeatable(request):
                raise failed.error from None
            reader, body = await self._once_more(origin, head, content, limits, bodiless=bodiless)
        else:
            if not warm and origin[0] == b"https":
                self._remember(connection, origin)
        return httpx.Response(
            reader.status, headers=reader.headers, stream=body, request=request, extensions=_EXTENSIONS
        )

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


def _origin(url: httpx.URL) -> Origin:
    scheme = url.raw_scheme
    default = _PORTS.get(scheme)
    if default is None or not url.raw_host:
        raise httpx.UnsupportedProtocol("the address begins with neither http:// nor https://")
    return scheme, url.raw_host, url.port or default


def _repeatable(request: httpx.Request) -> bool:
    return request.method in _IDEMPOTENT or request.extensions.get(REPEATABLE) is True
