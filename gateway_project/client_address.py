"""From which address a page was asked for, behind proxies that we trust."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=4)
def _networks(texts: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def _is_trusted(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in _networks(tuple(settings.GATEWAY_TRUSTED_PROXIES)))


def client_address(request: HttpRequest) -> str:
    """The peer's address; behind trusted proxies the nearest address of `X-Forwarded-For` that is not one of them."""
    address = str(request.META.get("REMOTE_ADDR") or "")
    hops = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    while hops and _is_trusted(address):
        address = hops.pop()
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return ""


def forwarded_address(peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The same from an ASGI scope, for a decision about access: "" where somebody that is not trusted has forwarded.

    Behind a proxy on this machine that nobody has named, every stranger would otherwise come from loopback.
    """
    given = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    hops = [part.strip() for part in ",".join(given).split(",") if part.strip()]
    if hops and not _is_trusted(peer):
        return ""
    address = peer
    while hops and _is_trusted(address):
        address = hops.pop()
    return address
