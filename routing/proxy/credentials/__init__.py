"""How each provider's requests are authorized: one `Authorizer` for a provider, by the kind of its credential.

Nothing here sends: token endpoints are called through the `Fetch` that the caller hands in.
"""

from routing.proxy.credentials import aws, google, keys
from routing.proxy.credentials.base import (
    Authorizer,
    CredentialStatus,
    CredentialUnavailable,
    Fetch,
    RefreshFailed,
    token_refused,
)
from routing.proxy.credentials.refresh import Clock, SystemClock
from routing.targets import ProviderConf

__all__ = [
    "Authorizer",
    "Clock",
    "CredentialStatus",
    "CredentialUnavailable",
    "Fetch",
    "RefreshFailed",
    "authorizer_for",
    "token_refused",
]


def authorizer_for(provider: ProviderConf, fetch: Fetch, clock: Clock | None = None) -> Authorizer:
    """The authorizer for a provider's credential, which nothing has been fetched for yet.

    The kind and the presence of its values were checked when it was saved; what is wrong inside a value shows in
    `status` and as `CredentialUnavailable`.
    """
    clock = clock or SystemClock()
    match provider.credential.kind:
        case "api_key":
            return keys.api_key(provider.credential)
        case "bearer":
            return keys.bearer(provider.credential)
        case "none":
            return keys.none()
        case "aws":
            return aws.given_keys(provider, fetch, clock)
        case "aws_default":
            return aws.chain_keys(provider, fetch, clock)
        case "google_service_account":
            return google.service_account(provider, fetch, clock)
        case "google_default":
            return google.machine_default(provider, clock)
    raise ValueError(f"{provider.credential.kind!r} is not a kind of credential")
