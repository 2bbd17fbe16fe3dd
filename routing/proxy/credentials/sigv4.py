"""AWS Signature Version 4 by botocore, for requests that are sent exactly as signed.

Imports botocore, which doubles the start time: nothing but `aws` imports this module, and only once it is needed.
"""

from datetime import UTC, datetime
from typing import Any

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from routing.formats.base import Headers

# Set by signing itself; what a request may already carry of them is not ours to sign.
_OWN = frozenset({b"x-amz-date", b"x-amz-security-token", b"x-amz-content-sha256"})


class Signer(SigV4Auth):  # type: ignore[misc]
    """Signs with one set of keys, for one region and service. The derived key is kept for its day."""

    def __init__(self, keys: tuple[str, str, str | None], service: str, region: str) -> None:
        super().__init__(ReadOnlyCredentials(*keys), service, region)
        self._derived: tuple[str, bytes] = ("", b"")

    def sign(self, *, method: str, url: str, headers: Headers, payload: str, now: float) -> Headers:
        """The headers to add. Signed are the host, the date, the token, and of `headers` content-type and `x-amz…`.

        `now` is in seconds since 1970; `url` is percent-encoded as it will be sent.
        """
        request = AWSRequest(method=method, url=url)
        for name, value in headers:
            if name in {b"host", b"content-type"} or (name.startswith(b"x-amz") and name not in _OWN):
                request.headers[name.decode("latin-1")] = value.decode("latin-1")
        request.context["timestamp"] = datetime.fromtimestamp(now, UTC).strftime(SIGV4_TIMESTAMP)
        request.context["payload"] = payload
        # `add_auth` without its debug lines, which hold the session token.
        self._modify_request_before_signing(request)
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))
        added = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")
        return [(name.lower().encode(), request.headers[name].encode()) for name in added if name in request.headers]

    def headers_to_sign(self, request: Any) -> Any:
        """botocore gathers them twice for one signature; once is a third of the work less."""
        if "signed" not in request.context:
            request.context["signed"] = super().headers_to_sign(request)
        return request.context["signed"]

    def payload(self, request: Any) -> str:
        digest: str = request.context["payload"]
        return digest

    def signature(self, string_to_sign: str, request: Any) -> str:
        day = request.context["timestamp"][:8]
        if self._derived[0] != day:
            key = f"AWS4{self.credentials.secret_key}".encode()
            for part in (day, self._region_name, self._service_name, "aws4_request"):
                key = self._sign(key, part)
            self._derived = (day, key)
        signature: str = self._sign(self._derived[1], string_to_sign, hex=True)
        return signature
