"""Credentials that are the same for every request: an API key, a ready bearer token, nothing at all."""

from routing.formats.base import Headers
from routing.proxy.credentials.base import CredentialStatus
from routing.targets import CredentialConf


class StaticAuthorizer:
    """Adds fixed headers; there is nothing to fetch, to expire or to close."""

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self.status = CredentialStatus()

    def __repr__(self) -> str:
        return "StaticAuthorizer(***)"

    @property
    def static_headers(self) -> Headers:
        return self._headers

    async def authorize(self, *, method: str, url: str, headers: Headers, body: bytes) -> Headers:
        return self._headers

    def expire(self, refused: Headers | None = None) -> None:
        pass

    async def close(self) -> None:
        pass


def api_key(credential: CredentialConf) -> StaticAuthorizer:
    return StaticAuthorizer([(b"x-api-key", credential.values["api_key"].reveal().encode())])


def bearer(credential: CredentialConf) -> StaticAuthorizer:
    return StaticAuthorizer([(b"authorization", b"Bearer " + credential.values["token"].reveal().encode())])


def none() -> StaticAuthorizer:
    return StaticAuthorizer([])
