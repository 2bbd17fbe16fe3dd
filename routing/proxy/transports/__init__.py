"""How bytes reach an upstream: two transports behind httpx's contract, one of which the settings choose.

The rest of the gateway knows `httpx.AsyncBaseTransport`, `httpx.Request`, `httpx.Response` and httpx's exceptions.
"""

from collections.abc import Callable

import httpx

from routing.proxy.transports.lean import REPEATABLE, LeanTransport
from routing.proxy.transports.tls import TlsContext, tls_context
from routing.targets import ProviderConf

__all__ = ["REPEATABLE", "MakeTransport", "TlsContext", "tls_context", "transport_named"]

MakeTransport = Callable[[ProviderConf, TlsContext], httpx.AsyncBaseTransport]
"""One provider's pool of connections. Raises `AddressRefused` for an address that may not be used."""


def transport_named(name: str) -> MakeTransport:
    """The transport of `GATEWAY_UPSTREAM_TRANSPORT`: `lean` or `aiohttp`."""
    if name == "aiohttp":
        from routing.proxy.transports.through_aiohttp import UpstreamTransport  # only where it is wanted

        return UpstreamTransport
    return LeanTransport
