"""The console's "Test connection": one request for one token, sent just as the gateway would send it.

It has pools and credentials of its own and closes them again; nothing touches the running gateway's. The answer's words are
the upstream's own, cut short, the credential masked.
"""

import asyncio
import json
import time
from dataclasses import dataclass, replace

from gateway_project.crypto import Secret, UnreadableSecret
from routing.formats import anthropic
from routing.formats.base import MESSAGES, Outbound
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.translate import to_upstream
from routing.models import Credential, Provider
from routing.proxy.addresses import AddressRefused
from routing.proxy.upstream import Fault, UpstreamClient
from routing.snapshot import load_snapshot, provider_conf
from routing.targets import CredentialConf, ProviderConf

MOST_TEXT = 2_000  # characters of the upstream's words that are shown
MOST_BYTES = 16_384  # of the answer that are read
MOST_SECONDS = 60.0  # whatever the provider's own limits are: a person waits
MASK = "***"


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
        conf = _conf(provider)
        outbound = _outbound(conf, model)
        return asyncio.run(_ask(conf, outbound, started))
    except (_NotSent, AddressRefused) as error:
        return ProbeResult(0, _since(started), str(error), ok=False)


def _conf(provider: Provider) -> ProviderConf:
    credential = Credential.objects.defer("values").filter(provider=provider).first()
    if credential is None:
        raise _NotSent("This provider has no credential yet.")
    try:
        values = {name: Secret(value) for name, value in credential.values.items()}
    except UnreadableSecret as error:
        raise _NotSent(f"The credential cannot be read: {error}. Enter it again.") from error
    conf = provider_conf(provider, CredentialConf(credential.kind, values))
    return replace(
        conf,
        connect_timeout=min(conf.connect_timeout, MOST_SECONDS),
        first_byte_timeout=min(conf.first_byte_timeout, MOST_SECONDS),
        idle_timeout=min(conf.idle_timeout, MOST_SECONDS),
    )


def _outbound(conf: ProviderConf, model: str) -> Outbound:
    body = json.dumps({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    try:
        return to_upstream(
            anthropic.parse(MESSAGES, [], body),
            upstream_format=conf.format,
            upstream_model=model,
            registry=load_snapshot().registry,
            provider_region=conf.region,
            provider_project=conf.project,
        )
    except (NotBridgeable, BadBody) as error:
        raise _NotSent(f"Nothing was sent: {error}") from error


async def _ask(conf: ProviderConf, outbound: Outbound, started: float) -> ProbeResult:
    client = UpstreamClient()
    try:
        answer = await client.open(conf, outbound)
        latency = _since(started)
        try:
            body = await answer.read(MOST_BYTES, conf.idle_timeout)
        finally:
            await answer.close()
        return ProbeResult(answer.status, latency, _words(body, conf), ok=True)
    except Fault as fault:
        text = _words(fault.body, conf) or _words(f"No answer: {fault.detail}.".encode(), conf)
        return ProbeResult(fault.status, _since(started), text, ok=False)
    except TimeoutError as error:
        raise _NotSent("No answer in time.") from error
    finally:
        await client.close()


def _words(body: bytes, conf: ProviderConf) -> str:
    """The beginning of the answer's body as text, without the credential."""
    text = body[:MOST_BYTES].decode("utf-8", "replace")
    for value in conf.credential.values.values():
        if len(value.reveal()) >= 4:
            text = text.replace(value.reveal(), MASK)
    clean = "".join(char if char.isprintable() or char == "\n" else " " for char in text).strip()
    return clean if len(clean) <= MOST_TEXT else clean[: MOST_TEXT - 1] + "…"


def _since(started: float) -> float:
    return (time.monotonic() - started) * 1000
