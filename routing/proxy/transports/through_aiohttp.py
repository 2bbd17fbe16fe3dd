"""aiohttp's engine behind httpx's contract, bent to what a proxy needs.

An address goes out exactly as it was percent-encoded (a signature covers it), no header is added,
a large body is written in pieces, a failure says what failed.
"""

import io
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from routing.proxy.addresses import AddressRefused, CheckedResolver, check_literal
from routing.targets import ProviderConf

KEEP_ALIVE = 60.0  # seconds an idle connection is kept; providers' edges keep theirs for minutes
_WHOLE = 256 * 1024  # bytes; a longer body is written in pieces, so that it does not stop the event loop
_AUTOMATIC = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@contextmanager
def _named_failures() -> Iterator[None]:
    """aiohttp's exceptions as the httpx ones that mean the same; `httpx_aiohttp` alone would call some a time-out."""
    try:
        yield
    except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError) as error:
        kind = httpx.ConnectTimeout if isinstance(error, aiohttp.ConnectionTimeoutError) else httpx.ReadTimeout
        raise kind(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error.os_error)) from error
    except aiohttp.ServerDisconnectedError as error:
        raise httpx.RemoteProtocolError("the upstream closed the connection without an answer") from error
    except aiohttp.ClientOSError as error:
        raise httpx.ReadError(str(error)) from error
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
        raise httpx.RemoteProtocolError("the upstream's answer is not HTTP") from error
    except AddressRefused as error:
        raise httpx.ConnectError(str(error)) from error


class _Sending:
    """A request under way; its failure is named here, before `AiohttpTransport` gets to see it."""

    def __init__(self, request: Any) -> None:
        self._request = request

    async def __aenter__(self) -> aiohttp.ClientResponse:
        with _named_failures():
            answer: aiohttp.ClientResponse = await self._request.__aenter__()
            return answer


class _Session:
    """What `AiohttpTransport` calls its client: sends the request as it is given."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def __call__(self) -> "_Session":
        return self  # `AiohttpTransport` asks for its client before each request

    def request(self, *, url: str, data: Any, **options: Any) -> _Sending:
        if isinstance(data, bytes) and len(data) > _WHOLE:
            data = io.BytesIO(data)
        return _Sending(self._session.request(url=URL(url, encoded=True), data=data, **options))


class UpstreamTransport(AiohttpTransport):
    """One provider's pool of connections. Redirects are not followed, the environment's proxies are not used."""

    def __init__(self, provider: ProviderConf, tls: ssl.SSLContext) -> None:
        check_literal(provider.base_url, allow_private=provider.allow_private_addresses)
        connector = aiohttp.TCPConnector(
            limit=provider.max_connections,
            limit_per_host=0,
            keepalive_timeout=KEEP_ALIVE,
            resolver=CheckedResolver(allow_private=provider.allow_private_addresses),
            ttl_dns_cache=30,
            ssl=tls,
            family=socket.AF_UNSPEC,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=_AUTOMATIC,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=64 * 1024,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
        super().__init__(verify=tls, trust_env=False, client=cast(Any, _Session(self._session)))

    async def aclose(self) -> None:
        await self._session.close()
