"""`/metrics`: the figures of every worker of this machine, for Prometheus.

Open to the addresses of `GATEWAY_METRICS_ALLOW`, and to API tokens that may read everything.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections
from django.utils import timezone

from accounting.selectors import api_token, viewer_of_token, why_refused
from gateway_project.client_address import forwarded_address
from gateway_project.exposition import Family, families, text_of
from gateway_project.metrics import FIGURES
from gateway_project.telemetry import logger
from gateway_project.workers import NoSlot, Slot

log = logger(__name__)
Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


class MetricsPage:
    """The ASGI application of the address. `gauges` gives the values of this moment.

    Among several workers each `join`s, and `publish`es about once a second; without that it answers for itself.
    """

    def __init__(self, gauges: Callable[[], Mapping[str, float]], *, allowed: Networks) -> None:
        self._gauges = gauges
        self._allowed = allowed
        self._slot: Slot | None = None
        self._failed = False

    def join(self, folder: Path) -> None:
        """Takes a place among the workers that share `folder`; without one, the others do not see this worker."""
        try:
            self._slot = Slot(folder)
        except (OSError, NoSlot) as error:
            log.error("this worker is missing from /metrics of the others", error=str(error))

    async def publish(self) -> None:
        """Tells the others what is true now."""
        if self._slot is None:
            return
        try:
            await asyncio.to_thread(self._slot.publish, self._own())
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("figures cannot be published", error=str(error))
            self._failed = True

    def leave(self) -> None:
        if self._slot is not None:
            self._slot.leave()
            self._slot = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"GET only.\n", [(b"allow", b"GET, HEAD")])
            return
        if not self._address_allowed(scope):
            status, text = await sync_to_async(_token_refusal)(_bearer(scope["headers"]))
            if status:
                challenge = [(b"www-authenticate", b'Bearer realm="gateway metrics"')] if status == 401 else []
                await _answer(send, status, text, challenge)
                return
        workers = {str(self._slot.number) if self._slot else "0": self._own()}
        if self._slot is not None:
            workers |= await asyncio.to_thread(self._slot.others)
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"").decode("latin-1")
        body, content_type = text_of(workers, accept)
        await _answer(send, 200, body, [(b"content-type", content_type.encode())])

    def _own(self) -> list[Family]:
        return families(FIGURES, self._gauges())

    def _address_allowed(self, scope: Mapping[str, Any]) -> bool:
        client = scope.get("client")
        try:
            address = ipaddress.ip_address(forwarded_address(client[0] if client else "", scope["headers"]))
        except ValueError:
            return False
        return any(address in network for network in self._allowed)


def _bearer(headers: Sequence[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        scheme, _, secret = value.decode("latin-1").partition(" ")
        if name == b"authorization" and scheme.lower() == "bearer":
            return secret.strip()
    return ""


def _token_refusal(secret: str) -> tuple[int, bytes]:
    """(0, b"") for an API token that may read everything, else the status and the text of a refusal."""
    if not secret:
        return 401, b"Send an API token as a bearer token, or ask from an address in GATEWAY_METRICS_ALLOW.\n"
    close_old_connections()
    try:
        token = api_token(secret)
        if token is None or why_refused(token, timezone.now()):
            return 401, b"This is not an API token of this gateway, or one that is not accepted any more.\n"
        if viewer_of_token(token).reach not in ("admin", "auditor"):
            return 403, b"A team's API token does not read the figures of everybody.\n"
    except Error:
        return 503, b"The database that knows API tokens is away.\n"
    finally:
        close_old_connections()
    return 0, b""


async def _answer(send: Any, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store"), *headers]
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
