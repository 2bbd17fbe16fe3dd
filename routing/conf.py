"""The rules of routing configuration, as pure functions: each returns a sentence that says what is wrong, or "".

Used by the models, and so by every door. Nothing here touches the database or the network.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from accounting.access.patterns import matches as matches
from gateway_project.networks import is_public as is_public

LEAST_CHECK_INTERVAL = 5  # seconds
RETRYABLE: tuple[str | int, ...] = ("connect", "timeout", 429, 500, 502, 503, 504, 529)


@dataclass(frozen=True, slots=True)
class CredentialKind:
    """Which values a kind of credential has, which of them are secret, and which formats take it."""

    formats: frozenset[str]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    secret: frozenset[str] = frozenset()


_ALL = frozenset({"anthropic", "bedrock", "vertex"})
CREDENTIAL_KINDS: Mapping[str, CredentialKind] = {
    "api_key": CredentialKind(frozenset({"anthropic"}), ("api_key",), secret=frozenset({"api_key"})),
    "bearer": CredentialKind(_ALL, ("token",), secret=frozenset({"token"})),
    "aws": CredentialKind(
        frozenset({"bedrock"}),
        ("access_key_id", "secret_access_key"),
        ("session_token", "role_arn", "external_id", "sts_endpoint"),
        frozenset({"secret_access_key", "session_token"}),
    ),
    "aws_default": CredentialKind(frozenset({"bedrock"}), (), ("role_arn", "external_id", "sts_endpoint")),
    "google_service_account": CredentialKind(frozenset({"vertex"}), ("json",), secret=frozenset({"json"})),
    "google_default": CredentialKind(frozenset({"vertex"})),
    "none": CredentialKind(_ALL),
}


def check_credential(kind: str, values: Mapping[str, Any], provider_format: str) -> str:
    known = CREDENTIAL_KINDS.get(kind)
    if known is None:
        return f"{kind!r} is not a kind of credential; choose one of {', '.join(CREDENTIAL_KINDS)}."
    if provider_format not in known.formats:
        return f"The kind {kind} does not fit a provider of format {provider_format}."
    for name in known.required:
        if not values.get(name):
            return f"The kind {kind} needs {name}."
    for name, value in values.items():
        if name not in known.required and name not in known.optional:
            return f"The kind {kind} has no {name}."
        if not isinstance(value, str):
            return f"{name} must be a text."
        if name != "json" and any(ord(char) < 33 or ord(char) > 126 for char in value):
            return f"{name} has a space, a line break or a character that no header can carry."
    return ""


def check_address(base_url: str, *, allow_private: bool) -> str:
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        return f"Not an address: {error}."
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "Begin with https:// (or http://) and a host name."
    if parts.username or parts.password:
        return "Put credentials into the credential, not into the address."
    if parts.query or parts.fragment:
        return "An address has no query and no fragment."
    if any(ord(char) < 33 or ord(char) > 126 for char in base_url) or "\\" in base_url or port == 0:
        return "The address has a character or a port that it cannot have."
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        if parts.hostname == "localhost" and not allow_private:
            return "localhost is a loopback address; allow private addresses for this provider if you mean it."
        return ""
    if not allow_private and not is_public(literal):
        return f"{literal} is a loopback, private or reserved address; allow private addresses if you mean it."
    return ""


def check_retry_on(value: Any) -> str:
    if not isinstance(value, list):
        return "retry_on is a list."
    for item in value:
        if isinstance(item, bool) or not (
            item in ("connect", "timeout") or (isinstance(item, int) and 400 <= item <= 599)
        ):
            return f"{item!r} is neither connect, timeout nor a status from 400 to 599."
    return ""


def check_checks(interval: int, model: str) -> str:
    if interval and interval < LEAST_CHECK_INTERVAL:
        return f"Checks are at least {LEAST_CHECK_INTERVAL} seconds apart; 0 is none."
    if interval and not model:
        return "Checks need a model to ask; name one that this provider serves."
    if any(ord(char) < 33 or char == "\x7f" for char in model):
        return "A model's name has no spaces and no control characters."
    return ""


def check_targets(targets: Sequence[tuple[bool, int, bool]]) -> str:
    """What is wrong with a route's targets as a whole; each is (enabled, weight, its provider is enabled)."""
    if not targets:
        return "A route needs at least one target."
    if not any(enabled and provider_enabled for enabled, _, provider_enabled in targets):
        return "Every target of this route is disabled, or its provider is; nothing could serve it."
    if not any(enabled and provider_enabled and weight for enabled, weight, provider_enabled in targets):
        return "Every enabled target has the weight zero; nothing could serve it."
    return ""


def literal_length(pattern: str) -> int:
    """How specific a pattern is: the number of its characters that are not `*`."""
    return len(pattern) - pattern.count("*")


def patterns_overlap(one: str, two: str) -> bool:
    """Whether some name fits both patterns."""
    reachable = {(0, 0)}
    seen: set[tuple[int, int]] = set()
    while reachable:
        i, j = reachable.pop()
        if (i, j) in seen:
            continue
        seen.add((i, j))
        if i == len(one) and j == len(two):
            return True
        if i < len(one) and one[i] == "*":
            reachable.add((i + 1, j))
            if j < len(two):
                reachable.add((i, j + 1))
        if j < len(two) and two[j] == "*":
            reachable.add((i, j + 1))
            if i < len(one):
                reachable.add((i + 1, j))
        if i < len(one) and j < len(two) and one[i] == two[j]:
            reachable.add((i + 1, j + 1))
    return False
