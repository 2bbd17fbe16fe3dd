"""Google access tokens for Vertex: for a service account's key file, or by the default credentials of the machine."""

import asyncio
import base64
import importlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway_project.crypto import Secret
from routing.formats.base import Headers, header
from routing.proxy.credentials.base import CredentialStatus, Fetch, RefreshFailed, without_secrets
from routing.proxy.credentials.endpoint import call, header_text, request_to
from routing.proxy.credentials.refresh import Clock, Issued, Source, TokenSource
from routing.targets import ProviderConf

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - of key files that name none
AUDIENCE = TOKEN_URI  # wherever the assertion is sent: Google's documentation and google-auth 2.62 (2026-11)
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"  # RFC 7523
ASSERTION_LIFE = 3600  # seconds, the most that Google takes
USUAL_LIFE = 3600.0  # of an access token whose answer does not say


class GoogleAuthorizer:
    """Adds the access token that `source` holds."""

    static_headers = None

    def __init__(self, source: Source[Headers]) -> None:
        self._source = source

    @property
    def status(self) -> CredentialStatus:
        return self._source.status

    async def authorize(self, *, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        return self._source.current() or await self._source.token()

    def expire(self, refused: Headers | None = None) -> None:
        if refused is None:
            self._source.expire()
            return
        token = header(refused, b"authorization")
        self._source.expire(lambda held: header(held, b"authorization") == token)

    async def close(self) -> None:
        await self._source.close()


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What is used of a key file."""

    email: str
    key_id: str
    private_key: Secret
    token_uri: str


def service_account(provider: ProviderConf, fetch: Fetch, clock: Clock) -> GoogleAuthorizer:
    """For the kind `google_service_account`: a signed assertion, exchanged at the key file's `token_uri`."""
    text = provider.credential.values["json"]

    async def exchange() -> Issued[Headers]:
        account = read_key_file(text.reveal())
        assertion = await asyncio.to_thread(signed_assertion, account, clock.now())
        form = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        request = request_to(
            account.token_uri,
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=form,
            allow_private=provider.allow_private_addresses,
        )
        status, body = await call(fetch, request)
        return issued_token(status, body, clock.now(), assertion)

    return GoogleAuthorizer(TokenSource(provider.name, exchange, patience=provider.connect_timeout, clock=clock))


def machine_default(provider: ProviderConf, clock: Clock) -> GoogleAuthorizer:
    """For the kind `google_default`: what google-auth finds on this machine.

    It speaks to the places that the machine's own environment names (a file, the metadata service), not to anything in
    the configuration; so it does not go through `fetch`.
    """

    async def found() -> Issued[Headers]:
        chain = await asyncio.to_thread(importlib.import_module, "routing.proxy.credentials.google_chain")
        token, project, expires_at = await asyncio.to_thread(chain.find_token, SCOPE)
        return Issued(_bearer(token, project), expires_at)

    return GoogleAuthorizer(TokenSource(provider.name, found, patience=provider.connect_timeout, clock=clock))


def read_key_file(text: str) -> ServiceAccount:
    """Raises `RefreshFailed` with what is wrong with the file, without quoting it."""
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        raise RefreshFailed("the key file is not JSON") from error
    if not isinstance(found, dict) or found.get("type", "service_account") != "service_account":
        raise RefreshFailed("the key file is not that of a service account")
    for name in ("client_email", "private_key"):
        if not isinstance(found.get(name), str) or not found[name]:
            raise RefreshFailed(f"the key file has no {name}")
    uri = found.get("token_uri") or TOKEN_URI
    return ServiceAccount(
        found["client_email"], str(found.get("private_key_id") or ""), Secret(found["private_key"]), str(uri)
    )


def signed_assertion(account: ServiceAccount, now: float) -> str:
    """A JWT (RS256) by which the account asks for a token. Takes some milliseconds of CPU: call it in a thread."""
    try:
        key = load_pem_private_key(account.private_key.reveal().encode(), password=None)
    except (ValueError, TypeError) as error:
        raise RefreshFailed("the key file's private_key cannot be read") from error
    if not isinstance(key, RSAPrivateKey):
        raise RefreshFailed("the key file's private_key is not an RSA key")
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": account.key_id} if account.key_id else {})
    claims = {
        "iss": account.email,
        "scope": SCOPE,
        "aud": AUDIENCE,
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFE,
    }
    signed = f"{_part(head)}.{_part(claims)}"
    signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def issued_token(status: int, body: bytes, now: float, assertion: str) -> Issued[Headers]:
    """The token in an OAuth answer (RFC 6749 §5). Raises `RefreshFailed` with the endpoint's words."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefreshFailed(f"the token endpoint answered {status} with something that is not a JSON object")
    if status != 200:
        text = f"{found.get('error', 'no error code')}: {found.get('error_description', '')}"
        raise RefreshFailed(without_secrets(f"the token endpoint answered {status} {text}", [assertion]))
    token = header_text(found.get("access_token"), "access_token")
    life = found.get("expires_in", USUAL_LIFE)
    if isinstance(life, bool) or not isinstance(life, int | float):
        raise RefreshFailed("the token endpoint's answer has no usable expires_in")
    return Issued(_bearer(token), now + life)


def _bearer(token: str, quota_project: str = "") -> Headers:
    headers = [(b"authorization", b"Bearer " + token.encode())]
    return [*headers, (b"x-goog-user-project", quota_project.encode())] if quota_project else headers


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).rstrip(b"=").decode()
