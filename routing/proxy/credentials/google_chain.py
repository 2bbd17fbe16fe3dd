"""Google's default credentials, asked by google-auth: a file, the SDK's login, the metadata service.

Blocking: for a thread only.
"""

# mypy: disallow-untyped-calls=False
# (google-auth says that it is typed, and these functions are not.)

from datetime import UTC

import google.auth
import urllib3
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.urllib3 import Request

from routing.proxy.credentials.base import RefreshFailed, without_secrets

SECONDS = 5.0  # for each connect and each answer


def find_token(scope: str) -> tuple[str, str, float | None]:
    """An access token, the project that its quota counts towards (or ""), and when it expires in seconds since 1970.

    Each call looks anew, so that rotated files are seen. Raises `RefreshFailed`.
    """
    with urllib3.PoolManager(timeout=urllib3.Timeout(connect=SECONDS, read=SECONDS), retries=False) as pool:
        request = Request(pool)
        try:
            credentials, _ = google.auth.default(scopes=[scope], request=request)
            credentials.refresh(request)
        except GoogleAuthError as error:
            words = str(error.args[0]) if error.args else type(error).__name__
            raise RefreshFailed(without_secrets(f"Google's default credentials failed: {words}", ())) from error
    if not credentials.token:
        raise RefreshFailed("Google's default credentials gave no token")
    expiry = credentials.expiry  # UTC, without a zone
    expires_at = expiry.replace(tzinfo=UTC).timestamp() if expiry is not None else None
    return credentials.token, getattr(credentials, "quota_project_id", None) or "", expires_at
