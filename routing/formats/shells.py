"""The envelopes of the three formats around a Messages body: version, betas, model, stream, headers. Pure."""

import base64
import re

import msgspec

from accounting.access.patterns import matches
from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, VERTEX, Headers, Inbound, header, joined
from routing.formats.compat_rules import MODERN
from routing.formats.edits import Fields
from routing.formats.headers import for_upstream

DEFAULT_VERSIONS = {ANTHROPIC: "2023-06-01", BEDROCK: "bedrock-2023-05-31", VERTEX: "vertex-2023-10-16"}
_NEW_VERSION = "2026-10-21"
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# Bedrock takes the new version for Claude 4.7 and later only; source: vendor documentation, 2026-11.
_NEW_VERSION_MODELS = ("*opus-4-7*", *MODERN)
_COUNT_DROPS = ("max_tokens", "stream")


def version_for(sent: str, upstream_format: str, model: str) -> str:
    """The API version that the upstream is told, where the client said `sent`."""
    if upstream_format == ANTHROPIC and _DATE.fullmatch(sent):
        return sent
    if sent == _NEW_VERSION and (
        upstream_format == VERTEX or any(matches(pattern, model) for pattern in _NEW_VERSION_MODELS)
    ):
        return sent
    return DEFAULT_VERSIONS[upstream_format]


def wrapped(
    fields: Fields, inbound: Inbound, upstream_format: str, model: str, version: str, betas: tuple[str, ...]
) -> bytes:
    """The envelope of the upstream's format around the fields."""
    counting = inbound.operation == COUNT_TOKENS
    if upstream_format == BEDROCK:
        return _bedrock_body(fields, version, betas, counting)
    if counting:
        for name in _COUNT_DROPS:
            fields.pop(name, None)
    envelope: dict[str, object] = {}
    if upstream_format == VERTEX:
        envelope["anthropic_version"] = version
    if upstream_format == ANTHROPIC or counting:
        envelope["model"] = model
    stream = {"stream": True} if inbound.stream and not counting else {}
    return msgspec.json.encode({**envelope, **fields, **stream})


def _bedrock_body(fields: Fields, version: str, betas: tuple[str, ...], counting: bool) -> bytes:
    envelope: dict[str, object] = {"anthropic_version": version}
    if betas:
        envelope["anthropic_beta"] = betas
    if not counting:
        return msgspec.json.encode({**envelope, **fields})
    if bytes(fields.get("tools", msgspec.Raw(b"[]"))).translate(None, b" \t\r\n") == b"[]":
        fields.pop("tools", None)
    fields["max_tokens"] = msgspec.Raw(str(_thinking_budget(fields) + 1).encode())
    inner = msgspec.json.encode({**envelope, **fields})
    return msgspec.json.encode({"input": {"invokeModel": {"body": base64.b64encode(inner).decode()}}})


class _Thinking(msgspec.Struct):
    budget_tokens: int = 0


def _thinking_budget(fields: Fields) -> int:
    """Bedrock wants `max_tokens` above the budget even where it only counts."""
    try:
        return max(0, msgspec.json.decode(fields.get("thinking", b"{}"), type=_Thinking).budget_tokens)
    except msgspec.DecodeError:
        return 0


_CARRIED = (b"anthropic-", b"x-stainless-")


def crossing_headers(
    inbound: Inbound, upstream_format: str, version: str, betas: tuple[str, ...], secret: bytes
) -> Headers:
    """The headers of a request that crosses formats: few of the client's, none that belongs to its format only."""
    passing = for_upstream(inbound.headers, secret)
    headers: Headers = [(name, value) for name, value in passing if name in (b"user-agent", b"x-app")]
    if upstream_format == ANTHROPIC:
        headers += [(name, value) for name, value in passing if name.startswith(_CARRIED)]
        headers.append((b"anthropic-version", version.encode("latin-1")))
    if upstream_format != BEDROCK and betas:
        headers.append((b"anthropic-beta", ",".join(betas).encode("latin-1")))
    headers.append((b"content-type", b"application/json"))
    headers.append((b"accept-encoding", b"identity"))
    return headers


def own_headers(inbound: Inbound, secret: bytes) -> Headers:
    """The client's headers for an upstream of the same format, Bedrock or Vertex."""
    headers = for_upstream(inbound.headers, secret)
    if inbound.format == BEDROCK:
        headers = [(name, value) for name, value in headers if not name.startswith(b"anthropic-")]
        headers += [
            (name, value)
            for name, value in inbound.headers
            if name.startswith(b"x-amzn-bedrock-") and not _holds(value, secret)
        ]
    else:
        version, beta = header(inbound.headers, b"anthropic-version"), joined(inbound.headers, b"anthropic-beta")
        headers += [(b"anthropic-version", version)] if version else []
        headers += [(b"anthropic-beta", beta)] if beta else []
    if not header(headers, b"content-type"):
        headers.append((b"content-type", b"application/json"))
    headers.append((b"accept-encoding", b"identity"))
    return headers


def _holds(value: bytes, secret: bytes) -> bool:
    return bool(secret) and secret in value
