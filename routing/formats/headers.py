"""Which headers cross the gateway, in each direction. No I/O.

Both lists are open: a header that nobody has heard of passes. What never passes is what describes the other side of the
gateway: connections, credentials, the shared account's limits, proxies in between.
"""

from routing.formats.base import Headers

# RFC 9110 §7.6.1, and what a transport writes for itself.
_CONNECTION = {
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"content-length",
}
_NOT_UPSTREAM = _CONNECTION | {
    b"host",
    b"expect",
    b"accept-encoding",
    b"content-encoding",
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"cookie",
    b"origin",
    b"referer",
    b"forwarded",
    b"via",
    b"x-real-ip",
    b"true-client-ip",
    b"x-request-id",
    b"anthropic-beta",  # written anew: repeated lines are joined
    b"anthropic-version",
}
# Hints and session ids of Claude Code are for gateways; Google's and Amazon's headers belong to their own formats.
_NOT_UPSTREAM_BEGINNINGS = (b"x-claude-", b"x-forwarded-", b"cf-", b"sec-", b"x-amz", b"x-goog-", b"proxy-")

_NOT_DOWN = _CONNECTION | {
    b"anthropic-organization-id",
    b"request-id",
    b"x-request-id",
    b"x-amzn-requestid",
    b"set-cookie",
    b"set-cookie2",
    b"server",
    b"date",
    b"via",
    b"alt-svc",
    b"strict-transport-security",
    b"nel",
    b"report-to",
    b"server-timing",
    b"x-robots-tag",
    b"x-powered-by",
    b"location",
    b"content-location",
    b"www-authenticate",
    b"content-security-policy",
}
# The limits describe the account that all callers share; the edge's headers describe the provider's network.
_NOT_DOWN_BEGINNINGS = (
    b"anthropic-ratelimit-",
    b"anthropic-priority-",
    b"anthropic-fast-",
    b"cf-",
    b"x-envoy-",
    b"x-goog-",
    b"access-control-",
    b"proxy-",
)


def for_upstream(headers: Headers, secret: bytes) -> Headers:
    """The client's headers that an upstream of the same format may see; none that holds the gateway key `secret`."""
    named = _connection_named(headers)
    return [
        pair
        for pair in headers
        if pair[0] not in _NOT_UPSTREAM
        and not pair[0].startswith(_NOT_UPSTREAM_BEGINNINGS)
        and pair[0] not in named
        and not (secret and secret in pair[1])
    ]


def for_client(headers: Headers) -> Headers:
    """The upstream's headers that the client may see, with lower-case names."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = _connection_named(lowered)
    return [
        pair
        for pair in lowered
        if pair[0] not in _NOT_DOWN and not pair[0].startswith(_NOT_DOWN_BEGINNINGS) and pair[0] not in named
    ]


def _connection_named(headers: Headers) -> frozenset[bytes]:
    """Headers that a `connection` header declares to be for this hop only."""
    named = [value for name, value in headers if name == b"connection" and value.lower() not in _PLAIN_CONNECTION]
    return frozenset(part.strip().lower() for value in named for part in value.split(b",")) if named else _NONE


_PLAIN_CONNECTION = (b"keep-alive", b"close")
_NONE: frozenset[bytes] = frozenset()
