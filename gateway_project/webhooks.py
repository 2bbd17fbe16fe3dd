"""Signed webhooks: who may be sent one, how it is signed, how it is sent. No tables, no framework but its settings.

The signature is that of Standard Webhooks 1.0 (standardwebhooks.com, 2026-08): base64 of HMAC-SHA-256 over
`id.timestamp.body`, in `webhook-signature` after `v1,`. A name is resolved once; every address is checked, and the checked one
is connected to, so that no name leads into the private network. Redirects are not followed, proxies not asked.
"""

import base64
import hmac
import http.client
import ipaddress
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from gateway_project.crypto import Secret
from gateway_project.networks import is_public

SECRET_MARK = "whsec_"  # noqa: S105 - what secrets begin with
SECONDS = 10.0  # for everything after the name is resolved
MOST_READ = 4096  # bytes of an answer
MOST_ADDRESSES, SHORT = 3, 3.0  # of a name, that are tried; seconds for each but the last
GONE = 410

Resolve = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a sending went; `status` 0 means that there was no answer."""

    ok: bool
    status: int = 0
    error: str = ""
    duration_ms: float = 0.0


def new_webhook_secret() -> Secret:
    return Secret(SECRET_MARK + base64.b64encode(secrets.token_bytes(24)).decode())


def sign(secret: Secret, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    key = base64.b64decode(secret.reveal().removeprefix(SECRET_MARK))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def check_url(url: str) -> str:
    """A sentence about what is wrong with an address to send to, or ""."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _("This is not an address.")
    allowed = ("https", "http") if settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE else ("https",)
    if parts.scheme not in allowed or not parts.hostname:
        return _("Begin with https:// and a host name.")
    if parts.username or parts.password or parts.fragment:
        return _("An address here has no user, no password and no fragment.")
    if any(ord(char) < 33 or ord(char) > 126 for char in url) or "\\" in url or port == 0:
        return _("The address has a character or a port that it cannot have.")
    if settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE:
        return ""
    if parts.hostname == "localhost" or not _may_be_public(parts.hostname):
        return _("This is a loopback, private or reserved address; webhooks go to public ones only.")
    return ""


def send_webhook(
    url: str,
    secret: Secret,
    message_id: str,
    body: bytes,
    *,
    now: float | None = None,
    resolve: Resolve | None = None,
    seconds: float = SECONDS,
) -> Outcome:
    """Signs and posts a JSON body; never raises for what the other side does."""
    timestamp = int(time.time() if now is None else now)
    headers = {
        "content-type": "application/json",
        "user-agent": "gateway-alerts/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id, timestamp, body),
        "connection": "close",
    }
    begun = time.monotonic()
    try:
        status = _post(urlsplit(url), headers, body, resolve or _resolved, seconds)
        error = "" if 200 <= status < 300 else _why(status)
    except (OSError, http.client.HTTPException, ValueError) as refused:
        late = time.monotonic() - begun >= seconds
        status, error = 0, f"no answer within {seconds:g} seconds" if late else _sentence(refused)
    return Outcome(not error, status, error, round(1000 * (time.monotonic() - begun), 1))


def _why(status: int) -> str:
    redirect = "; redirects are not followed" if 300 <= status < 400 else ""
    return f"answered {status}{redirect}"


def _sentence(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"[:300]
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (str(error) or type(error).__name__)[:300]


def _post(url: SplitResult, headers: Mapping[str, str], body: bytes, resolve: Resolve, seconds: float) -> int:
    secure = url.scheme == "https"
    port = url.port or (443 if secure else 80)
    addresses = _checked(url.hostname or "", port, resolve)
    connection = _Pinned(url.hostname or "", port, addresses, secure=secure, timeout=seconds)
    deadline = threading.Timer(seconds, connection.cut)  # whoever answers drop by drop does not hold a thread
    deadline.daemon = True
    deadline.start()
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", path, body, dict(headers))
        response = connection.getresponse()
        response.read(MOST_READ)
        return response.status
    finally:
        deadline.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """Connects to the first of these addresses that answers, whatever the name means by then; TLS is checked against the
    name."""

    def __init__(self, host: str, port: int, addresses: Sequence[str], *, secure: bool, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._addresses = addresses
        self._secure = secure
        self._raw: socket.socket | None = None
        self._over = False
        self.default_port = 443 if secure else 80

    def connect(self) -> None:
        raw: Any = self._connected()
        self._raw = raw
        self.sock = raw
        if self._over:
            raise TimeoutError
        if self._secure:
            context = ssl.create_default_context()
            # The handshake comes after the socket is known to `cut`, which may have to end it.
            self.sock = context.wrap_socket(raw, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock.do_handshake()

    def _connected(self) -> socket.socket:
        *others, last = self._addresses
        for address in others:
            try:
                return socket.create_connection((address, self.port), min(SHORT, self.timeout or SHORT))
            except OSError:
                continue  # a machine without IPv6, say
        return socket.create_connection((last, self.port), self.timeout)

    def cut(self) -> None:
        """From another thread: whatever waits on the socket fails at once."""
        self._over = True
        for each in (self.sock, self._raw):
            if each is not None:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def _checked(host: str, port: int, resolve: Resolve) -> list[str]:
    """The addresses of this host that may be sent to, the first few. Raises OSError."""
    found = resolve(host, port)
    if settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE:
        allowed = list(found)
    else:
        allowed = [each for each in found if is_public(ipaddress.ip_address(each.partition("%")[0]))]
    if not allowed:
        raise OSError(f"{host} leads to no public address; webhooks go to public ones only")
    return allowed[:MOST_ADDRESSES]


def _resolved(host: str, port: int) -> list[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _may_be_public(host: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(host))
    except ValueError:
        return True  # a name; what it leads to is checked on sending
