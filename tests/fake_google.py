"""What Google checks: a service account's assertion, exchanged for an access token, and that token on requests."""

import base64
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.fake_endpoint import Answer, Endpoint

EMAIL = "gateway@project.iam.gserviceaccount.com"
KEY_ID = "0123456789abcdef"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "https://oauth2.googleapis.com/token"  # wherever the token endpoint is
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Refused(Exception):
    """The assertion or the token would not be taken; the text says why."""


@lru_cache(maxsize=1)
def private_key() -> rsa.RSAPrivateKey:
    """The fake account's key, made once for each process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_file(token_uri: str, **changes: Any) -> str:
    """A service account's key file as Google's console writes it."""
    pem = private_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": KEY_ID,
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "client_id": "1",
        "token_uri": token_uri,
    }
    return json.dumps(file | changes)


def check_assertion(assertion: str, key: rsa.RSAPublicKey, now: float) -> Mapping[str, Any]:
    """The claims of an assertion that is valid at `now`. Raises `Refused`."""
    parts = assertion.split(".")
    if len(parts) != 3:
        raise Refused("not a JWT")
    head, claims = (json.loads(_decoded(part)) for part in parts[:2])
    if head.get("alg") != "RS256" or head.get("kid") != KEY_ID:
        raise Refused("not signed with RS256 by the known key")
    try:
        key.verify(_decoded(parts[2]), f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Refused("Invalid JWT Signature.") from None
    if claims.get("iss") != EMAIL or claims.get("aud") != AUDIENCE or SCOPE not in claims.get("scope", "").split():
        raise Refused("wrong iss, aud or scope")
    if not claims["iat"] - 300 <= now < claims["exp"] <= claims["iat"] + 3600:
        raise Refused("Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
    found: Mapping[str, Any] = claims
    return found


@dataclass
class FakeGoogle(Endpoint):
    """The token endpoint. Tokens are named ya29.1, ya29.2, … and live for `lifetime` seconds.

    `failing` is an OAuth error code to answer instead, with what it echoes of the form.
    """

    token_uri: str
    lifetime: float = 3600
    now: Callable[[], float] = time.time
    failing: str = ""
    calls: int = 0
    issued: dict[str, float] = field(default_factory=dict)

    async def answer(self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        return self.exchange(body)

    def exchange(self, body: bytes) -> Answer:
        self.calls += 1
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        assertion = form.get("assertion", "")
        if self.failing:
            return self._error(self.failing, f"you said {assertion}")
        if form.get("grant_type") != GRANT:
            return self._error("unsupported_grant_type", "Invalid grant_type")
        try:
            check_assertion(assertion, private_key().public_key(), self.now())
        except Refused as refused:
            return self._error("invalid_grant", str(refused))
        token = f"ya29.{self.calls}"
        self.issued[token] = self.now() + self.lifetime
        answer = {"access_token": token, "expires_in": self.lifetime, "token_type": "Bearer"}
        return 200, {"content-type": "application/json"}, json.dumps(answer).encode()

    def check_request(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Raises `Refused` unless a request carries exactly one credential, a token of ours that is still valid."""
        given = [value for name, value in headers if name.lower() == b"authorization"]
        if len(given) != 1 or not given[0].startswith(b"Bearer "):
            raise Refused("not exactly one bearer token")
        until = self.issued.get(given[0][len(b"Bearer ") :].decode("latin-1"))
        if until is None or until <= self.now():
            raise Refused("the token is unknown, revoked or expired")

    def revoke_all(self) -> None:
        self.issued.clear()

    def _error(self, code: str, text: str) -> Answer:
        answer = {"error": code, "error_description": text}
        return 400, {"content-type": "application/json"}, json.dumps(answer).encode()


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
