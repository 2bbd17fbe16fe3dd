"""The console's "Test connection": one request for one token, sent outside the gateway's path with a client of its own.

Nothing of it touches the running pools. The answer's words are the upstream's own, cut short, the credential masked.
"""

import contextlib
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from gateway_project.crypto import Secret, UnreadableSecret
from routing.conf import is_public
from routing.models import Credential, Provider

MOST_TEXT = 2_000  # characters of the upstream's words that are shown
MOST_BYTES = 16_384  # of the answer that are read
MOST_SECONDS = 60.0  # whatever the provider's own limits are: a person waits
MASK = "***"
_VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """`status` is 0 when there was no answer; `latency_ms` runs from the first look-up to the answer's head."""

    status: int
    latency_ms: float
    text: str
    ok: bool


class _NotSent(Exception):
    """The request could not be made; the text says why."""


def probe(provider_id: int, model: str) -> ProbeResult:
    """Asks the provider for one token of `model`. Raises Provider.DoesNotExist; every failure is a result."""
    provider = Provider.objects.get(pk=provider_id)
    started = time.monotonic()
    try:
        secrets = _secrets(provider)
        headers = _credential_headers(provider, secrets)
        return _send(provider, model, headers, secrets, started)
    except _NotSent as error:
        return ProbeResult(0, _since(started), str(error), ok=False)


def _secrets(provider: Provider) -> tuple[str, dict[str, Secret]]:
    credential = Credential.objects.defer("values").filter(provider=provider).first()
    if credential is None:
        raise _NotSent("This provider has no credential yet.")
    try:
        return credential.kind, {name: Secret(value) for name, value in credential.values.items()}
    except UnreadableSecret as error:
        raise _NotSent(f"The credential cannot be read: {error}. Enter it again.") from error


def _credential_headers(provider: Provider, credential: tuple[str, dict[str, Secret]]) -> dict[str, str]:
    kind, values = credential
    if provider.format != Provider.Format.ANTHROPIC:
        raise _NotSent(
            f"Testing a provider of the format {provider.get_format_display()} is not possible yet; "
            "it comes with the support of that format. Nothing was sent."
        )
    if kind == "api_key":
        return {"x-api-key": values["api_key"].reveal()}
    if kind == "bearer":
        return {"authorization": f"Bearer {values['token'].reveal()}"}
    return {}


def _send(
    provider: Provider, model: str, credential: dict[str, str], secrets: tuple[str, dict[str, Secret]], started: float
) -> ProbeResult:
    body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"anthropic-version": _VERSION, "content-type": "application/json", "accept": "application/json"}
    try:
        with _answer(provider, json.dumps(body).encode(), {**headers, **credential}) as response:
            latency = _since(started)
            text = _masked(_words(response, started + MOST_SECONDS), secrets)
            return ProbeResult(response.status_code, latency, text, ok=response.status_code == httpx.codes.OK)
    except httpx.TimeoutException as error:
        raise _NotSent(f"No answer in time ({_what(error)}).") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _NotSent(_masked(f"No answer: {error}", secrets)) from error


@contextlib.contextmanager
def _answer(provider: Provider, body: bytes, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The response to one POST, sent to an address that was checked, under the host's own name."""
    url = httpx.URL(f"{provider.base_url.rstrip('/').removesuffix('/v1').rstrip('/')}/v1/messages")
    connect = min(float(provider.connect_timeout), MOST_SECONDS)
    silence = min(float(provider.first_byte_timeout), MOST_SECONDS)
    timeout = httpx.Timeout(silence, connect=connect)
    checked = _checked_address(url, allow_private=provider.allow_private_addresses)
    request = httpx.Request(
        "POST",
        url.copy_with(host=checked),
        headers={**headers, "host": url.netloc.decode("ascii")},
        content=body,
        extensions={"sni_hostname": url.host, "timeout": timeout.as_dict()},
    )
    with httpx.Client(verify=ssl.create_default_context(), trust_env=False, follow_redirects=False) as client:
        response = client.send(request, stream=True)
        try:
            yield response
        finally:
            response.close()


def _checked_address(url: httpx.URL, *, allow_private: bool) -> str:
    """One address of the host that may be connected to; what was checked is what is used."""
    try:
        found = socket.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _NotSent(f"The host {url.host} was not found: {error.strerror or error}.") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    for address in addresses:
        if allow_private or is_public(ipaddress.ip_address(address)):
            return address
    raise _NotSent(
        f"{url.host} resolves to {', '.join(sorted(set(addresses))[:3])}, which is no public address. "
        "Allow private addresses for this provider if you mean it."
    )


def _words(response: httpx.Response, deadline: float) -> str:
    """The beginning of the answer's body as text."""
    read = b""
    for chunk in response.iter_bytes():
        read += chunk
        if len(read) >= MOST_BYTES or time.monotonic() > deadline:
            break
    return read[:MOST_BYTES].decode("utf-8", "replace")


def _masked(text: str, credential: tuple[str, dict[str, Secret]]) -> str:
    for value in credential[1].values():
        if len(value.reveal()) >= 4:
            text = text.replace(value.reveal(), MASK)
    clean = "".join(char if char.isprintable() or char == "\n" else " " for char in text).strip()
    return clean if len(clean) <= MOST_TEXT else clean[: MOST_TEXT - 1] + "…"


def _what(error: httpx.TimeoutException) -> str:
    return "connecting" if isinstance(error, httpx.ConnectTimeout) else "waiting for the first byte"


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000
