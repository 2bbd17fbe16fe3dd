"""The standard AWS chain, asked by botocore: environment, profile, container, instance. Blocking: for a thread only."""

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from routing.proxy.credentials.base import RefreshFailed, without_secrets


def find_keys() -> tuple[tuple[str, str, str], float | None]:
    """Access key id, secret and session token (or ""), and when they expire in seconds since 1970.

    Each call asks the chain anew, so that rotated files and environments are seen. Raises `RefreshFailed`.
    """
    try:
        credentials = botocore.session.Session().get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials is not None else None
    except (BotoCoreError, ClientError) as error:
        raise RefreshFailed(without_secrets(f"the standard AWS chain failed: {error}", ())) from error
    if frozen is None or not frozen.access_key:
        raise RefreshFailed("the standard AWS chain found no credentials")
    expiry = getattr(credentials, "_expiry_time", None)  # botocore has no public name for it (1.44)
    keys = (frozen.access_key, frozen.secret_key, frozen.token or "")
    return keys, expiry.timestamp() if expiry is not None else None
