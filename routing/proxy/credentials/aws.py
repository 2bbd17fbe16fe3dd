"""AWS credentials for Bedrock: given keys, an assumed role, or the standard chain of the machine.

Every request is signed on its own (`sigv4`); what is fetched and refreshed are the keys. botocore is imported in a
thread when it is first needed.
"""

import asyncio
import hashlib
import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx

from gateway_project.crypto import Secret
from routing.formats.base import Headers, header
from routing.proxy.credentials.base import CredentialStatus, Fetch, RefreshFailed, without_secrets
from routing.proxy.credentials.endpoint import call, header_text, request_to
from routing.proxy.credentials.refresh import Clock, FixedSource, Issued, Source, TokenSource
from routing.targets import ProviderConf

if TYPE_CHECKING:
    from routing.proxy.credentials.sigv4 import Signer

SERVICE = "bedrock"  # the signing name of bedrock-runtime (botocore's service model)
LARGE = 1024 * 1024  # bytes; a longer body is hashed in a thread
STS_VERSION = "2011-06-15"  # the only one there is


@dataclass(frozen=True, slots=True)
class AwsKeys:
    access_key_id: str
    secret_access_key: Secret
    session_token: Secret = field(default_factory=lambda: Secret(""))

    def plain(self) -> tuple[str, str, str | None]:
        return self.access_key_id, self.secret_access_key.reveal(), self.session_token.reveal() or None


class AwsAuthorizer:
    """Signs each request for Bedrock with the keys that `source` holds."""

    static_headers = None

    def __init__(self, source: Source[AwsKeys], region: str, clock: Clock) -> None:
        self._source = source
        self._region = region
        self._clock = clock
        self._signer: tuple[AwsKeys, Signer] | None = None

    @property
    def status(self) -> CredentialStatus:
        return self._source.status

    async def authorize(self, *, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        keys = self._source.current() or await self._source.token()
        if self._signer is None or self._signer[0] is not keys:
            signing = await _sigv4()
            self._signer = (keys, signing.Signer(keys.plain(), SERVICE, self._region))
        signer = self._signer[1]
        payload = hashed(body) if len(body) <= LARGE else await asyncio.to_thread(hashed, body)
        return signer.sign(method=method, url=url, headers=headers, payload=payload, now=self._clock.now())

    def expire(self, refused: Headers | None = None) -> None:
        if refused is None:
            self._source.expire()
            return
        signed = header(refused, b"authorization")
        self._source.expire(lambda keys: f"Credential={keys.access_key_id}/".encode() in signed)

    async def close(self) -> None:
        await self._source.close()


def hashed(body: bytes) -> str:
    """The payload hash that a signature covers. About 0.6 ms per MB."""
    return hashlib.sha256(body).hexdigest()


def given_keys(provider: ProviderConf, fetch: Fetch, clock: Clock) -> AwsAuthorizer:
    """For the kind `aws`: the keys themselves, or the role that they may take."""
    values = provider.credential.values
    token = values.get("session_token") or Secret("")
    keys = AwsKeys(values["access_key_id"].reveal(), values["secret_access_key"], token)

    async def own() -> AwsKeys:
        return keys

    if values.get("role_arn"):
        return _authorizer(provider, _Role(provider, own, fetch, clock).assume, clock)
    return AwsAuthorizer(FixedSource(keys), provider.region, clock)


def chain_keys(provider: ProviderConf, fetch: Fetch, clock: Clock) -> AwsAuthorizer:
    """For the kind `aws_default`: what the machine's standard chain finds, or the role that this may take.

    The chain speaks to the places that this process's own environment names (a file, the container's or the machine's
    metadata service), not to anything in the configuration; so it does not go through `fetch`.
    """

    async def found() -> Issued[AwsKeys]:
        chain = await asyncio.to_thread(importlib.import_module, "routing.proxy.credentials.aws_chain")
        keys, expires_at = await asyncio.to_thread(chain.find_keys)
        return Issued(AwsKeys(keys[0], Secret(keys[1]), Secret(keys[2])), expires_at)

    async def own() -> AwsKeys:
        return (await found()).value

    if provider.credential.values.get("role_arn"):
        return _authorizer(provider, _Role(provider, own, fetch, clock).assume, clock)
    return _authorizer(provider, found, clock)


def _authorizer(provider: ProviderConf, get: Callable[[], Awaitable[Issued[AwsKeys]]], clock: Clock) -> AwsAuthorizer:
    source = TokenSource(provider.name, get, patience=provider.connect_timeout, clock=clock)
    return AwsAuthorizer(source, provider.region, clock)


async def _sigv4() -> ModuleType:
    return await asyncio.to_thread(importlib.import_module, "routing.proxy.credentials.sigv4")


class _Role:
    """AssumeRole at the Security Token Service: temporary keys for a role, by default for an hour."""

    def __init__(
        self, provider: ProviderConf, own: Callable[[], Awaitable[AwsKeys]], fetch: Fetch, clock: Clock
    ) -> None:
        values = {name: value.reveal() for name, value in provider.credential.values.items()}
        self._region = provider.region
        self._allow_private = provider.allow_private_addresses
        self._url = values.get("sts_endpoint", "").rstrip("/") or _sts(provider.region)
        self._form = {
            "Action": "AssumeRole",
            "Version": STS_VERSION,
            "RoleArn": values["role_arn"],
            "RoleSessionName": f"gateway-{provider.name}"[:64],
        }
        if values.get("external_id"):
            self._form["ExternalId"] = values["external_id"]
        self._own = own
        self._fetch = fetch
        self._clock = clock

    async def assume(self) -> Issued[AwsKeys]:
        own = await self._own()
        status, body = await call(self._fetch, await self._request(own))
        secrets = [text for text in own.plain()[1:] if text]
        return issued_keys(status, body, secrets)

    async def _request(self, own: AwsKeys) -> httpx.Request:
        body = urlencode(self._form).encode()
        content_type = "application/x-www-form-urlencoded; charset=utf-8"
        request = request_to(
            f"{self._url}/",
            headers={"content-type": content_type},
            body=body,
            allow_private=self._allow_private,
        )
        signing = await _sigv4()
        signed = signing.Signer(own.plain(), "sts", self._region).sign(
            method="POST",
            url=str(request.url),
            headers=[(b"content-type", content_type.encode())],
            payload=hashed(body),
            now=self._clock.now(),
        )
        request.headers.update([(name.decode(), value.decode()) for name, value in signed])
        return request


def _sts(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://sts.{region}.{suffix}"


def issued_keys(status: int, body: bytes, secrets: Iterable[str] = ()) -> Issued[AwsKeys]:
    """The keys in an AssumeRole answer. Raises `RefreshFailed` with the service's words, less any of `secrets`."""
    root = _xml(status, body)
    if status != 200:
        code, text = root.findtext(".//{*}Code") or "no code", root.findtext(".//{*}Message") or ""
        raise RefreshFailed(without_secrets(f"AssumeRole answered {status} {code}: {text}", secrets))
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    key_id, secret, token = (
        header_text((root.findtext(f".//{{*}}Credentials/{{*}}{name}") or "").strip(), name) for name in names
    )
    try:
        until = datetime.fromisoformat((root.findtext(".//{*}Credentials/{*}Expiration") or "").strip())
    except ValueError as error:
        raise RefreshFailed("AssumeRole's answer has no usable Expiration") from error
    expires_at = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp()
    return Issued(AwsKeys(key_id, Secret(secret), Secret(token)), expires_at)


def _xml(status: int, body: bytes) -> ElementTree.Element:
    if b"<!" in body:  # a document type: the service sends none, and entities could be made to grow
        raise RefreshFailed(f"AssumeRole answered {status} with a document type in it")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - at most 256 KB, no document type
    except ElementTree.ParseError as error:
        raise RefreshFailed(f"AssumeRole answered {status} with something that is not XML") from error
