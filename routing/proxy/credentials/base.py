"""What every kind of credential offers to the upstream client, and how its failure is told. No I/O."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import httpx

from routing.formats.base import Headers

Fetch = Callable[[httpx.Request], Awaitable[httpx.Response]]
"""Sends a request to a token endpoint under the provider's address rules and answers whatever the status is.

Raises httpx's transport errors or an OSError."""

_LONGEST_TEXT = 300  # characters of an endpoint's own words that are kept


@dataclass(frozen=True, slots=True)
class CredentialStatus:
    """How the last refresh went, for people. `ok` is None while nothing was fetched, and for kinds that fetch nothing.

    `error` has no secret in it and is empty unless the last refresh failed; `failures` counts those in a row.
    """

    ok: bool | None = None
    at: datetime | None = None
    error: str = ""
    expires_at: datetime | None = None
    failures: int = 0


class CredentialUnavailable(Exception):
    """There is no valid credential for a request, and none came in time. The text is for records and logs."""

    def __init__(self, provider: str, reason: str) -> None:
        super().__init__(f"no valid credential for {provider}: {reason}")
        self.provider = provider
        self.reason = reason


class RefreshFailed(Exception):
    """A token endpoint or a chain gave no token; the text says why, without secrets."""


class Authorizer(Protocol):
    """Adds a provider's credential to its requests. One belongs to one event loop and must be closed."""

    @property
    def static_headers(self) -> Headers | None:
        """The headers to add, if they are the same for every request: then nothing needs to be awaited."""

    @property
    def status(self) -> CredentialStatus: ...

    async def authorize(self, *, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        """The headers to add to a request that is sent exactly as given. Raises `CredentialUnavailable`.

        `url` is percent-encoded as it will be sent; `headers` have lower-case names.
        """

    def expire(self, refused: Headers | None = None) -> None:
        """An upstream refused what `authorize` returned: the next call fetches anew. Static kinds ignore it.

        With `refused`, the headers it was, a token that has been replaced since then is kept.
        """

    async def close(self) -> None:
        """Ends background work. A refresh that requests wait for still finishes."""


def token_refused(status: int, headers: Headers) -> bool:
    """Whether an upstream's answer means that the token itself is no longer taken, so that a new one may help.

    Bedrock says so with 403 and one of two names in `x-amzn-errortype`; its other 403s are about rights.
    """
    if status == 401:
        return True
    name = next((value for key, value in headers if key.lower() == b"x-amzn-errortype"), b"")
    return status == 403 and name.partition(b":")[0] in {b"ExpiredTokenException", b"UnrecognizedClientException"}


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """An endpoint's words on one line, shortened, with every given secret replaced by `***`."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
