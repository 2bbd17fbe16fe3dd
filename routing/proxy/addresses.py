"""Where an upstream may be: every address is checked after it was resolved, and the checked one is connected to.

A name cannot be swapped for another address between check and connect, because the connector gets its addresses from
`CheckedResolver` and from nowhere else. Literal addresses never reach a resolver; `check_literal` is for those.
"""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from routing.conf import is_public

_HOST = re.compile(
    r"[A-Za-z0-9._:-]+"
)  # what a host is made of once it is in ASCII; nothing that could turn into digits


class AddressRefused(OSError):
    """The upstream's host is, or resolves only to, addresses that this provider does not allow."""


class CheckedResolver(AbstractResolver):
    """Resolves names to allowed addresses only.

    Of an answer with public and other addresses the public ones are used; if none is left, `resolve` raises
    `AddressRefused`. `inner` is the resolver that asks, by default the system's, in a thread; `close` closes it too.
    """

    def __init__(self, allow_private: bool, inner: AbstractResolver | None = None) -> None:
        self._allow_private = allow_private
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if self._inner is None:
            self._inner = ThreadedResolver()
        found = await self._inner.resolve(host, port, family)
        if self._allow_private:
            return found
        allowed = [result for result in found if _allowed(result["host"])]
        if not allowed:
            raise AddressRefused(f"{host} resolves to no public address; the provider does not allow private addresses")
        return allowed

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()


def check_literal(url: str, allow_private: bool) -> None:
    """Raises `AddressRefused` if the host of `url` is a literal address that may not be used, or no usable host name.

    A host written as a name passes: `CheckedResolver` sees what it resolves to.
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError as error:
        raise AddressRefused(f"not an address: {error}") from error
    if not _HOST.fullmatch(host):
        raise AddressRefused("the address has no host, or one with characters that a host name cannot have")
    if allow_private or _is_name(host) or _allowed(host):
        return
    raise AddressRefused(f"{host} is not a public address; the provider does not allow private addresses")


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


def _allowed(address: str) -> bool:
    return is_public(ipaddress.ip_address(address))
