"""From a client's request in one format to an upstream's request in another: the hub. Pure.

All formats carry the same Messages body, so there is no code for a pair: a request is taken out of its envelope, edited as
the compatibility registry says, and put into the envelope of the upstream's format. Between equal formats the client's
bytes go on as they are.
"""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from accounting.access.patterns import matches
from routing.formats import anthropic
from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, Inbound, Outbound
from routing.formats.bedrock import counted_body
from routing.formats.compat import Edits, Registry
from routing.formats.edits import edit_body, top_level
from routing.formats.envelope import read_envelope
from routing.formats.faults import NotBridgeable
from routing.formats.features import ENVELOPE, features_of
from routing.formats.names import upstream_path
from routing.formats.peek import BadBody
from routing.formats.shells import crossing_headers, own_headers, version_for, wrapped

# Counting on Bedrock takes few betas; source: Claude Code 2.1.330, 2026-11.
_COUNT_BETAS = ("claude-code-20250219", "interleaved-thinking-*", "context-management-*")
_AMAZONS = (b'"anthropic_version"', b'"anthropic_beta"')  # fields of its envelope


def features(inbound: Inbound) -> frozenset[str]:
    """What the request makes use of, in the registry's words; decodes the whole body. Raises `BadBody`."""
    return features_of(_decoded(messages_body(inbound)))


def messages_body(inbound: Inbound) -> bytes:
    """The bytes that hold the Messages content; a Bedrock count has them wrapped. Raises `BadBody`, `NotBridgeable`."""
    if inbound.format != BEDROCK or inbound.operation != COUNT_TOKENS:
        return inbound.body
    inner = counted_body(inbound.body)
    if inner is None:
        raise NotBridgeable("Counting the tokens of a Converse request", "any but Bedrock", status=501)
    return inner


def unbridgeable(
    inbound: Inbound, found: Iterable[str], *, upstream_format: str, upstream_model: str, registry: Registry
) -> NotBridgeable | None:
    """Why this request, which makes use of `found`, cannot go to that target; nothing if it can."""
    edits = registry.apply(
        _betas(inbound),
        found,
        upstream_format=upstream_format,
        model=upstream_model,
        client_format=inbound.format,
    )
    return _refusal(edits, upstream_format)


def to_upstream(
    inbound: Inbound,
    *,
    upstream_format: str,
    upstream_model: str,
    registry: Registry,
    provider_region: str = "",
    provider_project: str = "",
    secret: bytes = b"",
    query: bytes = b"",
) -> Outbound:
    """The request for an upstream, complete but for its credential and its base address.

    `secret` is the gateway key that the client used: no header that holds it goes on. Raises `NotBridgeable` for what the
    upstream cannot take, `BadBody` for a body that cannot be read, `InvalidModel` for an id that no path can carry.
    """
    path = upstream_path(
        upstream_format, inbound.operation, upstream_model, inbound.stream, provider_region, provider_project
    )
    if inbound.format == upstream_format:
        return _same_format(inbound, path, upstream_model, registry, secret, query)
    body = messages_body(inbound)
    betas = _betas(inbound)
    edits = registry.apply(
        betas,
        features_of(_decoded(body)),
        upstream_format=upstream_format,
        model=upstream_model,
        client_format=inbound.format,
    )
    if upstream_format == BEDROCK and inbound.operation == COUNT_TOKENS:
        edits = _for_bedrock_count(edits, betas)
    refusal = _refusal(edits, upstream_format)
    if refusal is not None:
        raise refusal
    fields = top_level(body)
    for name in ENVELOPE:
        fields.pop(name, None)
    moved, removed = edit_body(fields, edits)
    version = version_for(inbound.version, upstream_format, upstream_model)
    return Outbound(
        path=path,
        headers=[*crossing_headers(inbound, upstream_format, version, edits.betas, secret), *moved],
        body=wrapped(fields, inbound, upstream_format, upstream_model, version, edits.betas),
        betas_removed=edits.removed_betas,
        fields_removed=removed,
        betas_renamed=edits.renamed,
        betas_sent=edits.betas,
    )


def _same_format(inbound: Inbound, path: str, model: str, registry: Registry, secret: bytes, query: bytes) -> Outbound:
    """The client's bytes; edited only where an administrator's own rule asks for it."""
    if inbound.format == ANTHROPIC:
        plain = anthropic.same_format(_without_envelope(inbound), model, secret, query)
    else:
        body = inbound.body
        if inbound.model_json and model != inbound.model:  # a Vertex count has the model in its body
            fields = top_level(body)
            fields["model"] = msgspec.Raw(json.dumps(model).encode())
            body = msgspec.json.encode(fields)
        plain = Outbound(path, own_headers(inbound, secret), body)
    if not registry.touches(inbound.format) or (inbound.format == BEDROCK and inbound.operation == COUNT_TOKENS):
        return plain
    return _with_own_rules(inbound, plain, model, registry)


def _without_envelope(inbound: Inbound) -> Inbound:
    """A count without the fields that Amazon's envelope has: its TypeScript client counts in the Messages shape, and
    writes them into the body all the same (bedrock-sdk 1.1.3, 2026-11)."""
    if inbound.operation != COUNT_TOKENS or not any(name in inbound.body for name in _AMAZONS):
        return inbound
    fields = top_level(inbound.body)
    kept = {name: value for name, value in fields.items() if f'"{name}"'.encode() not in _AMAZONS}
    if len(kept) == len(fields):
        return inbound
    version = inbound.version or version_for(read_envelope(inbound.body).version, ANTHROPIC, inbound.model)
    return msgspec.structs.replace(inbound, body=msgspec.json.encode(kept), version=version)


def _with_own_rules(inbound: Inbound, plain: Outbound, model: str, registry: Registry) -> Outbound:
    betas = read_envelope(plain.body).betas if inbound.format == BEDROCK else _betas(inbound)
    found = features_of(_decoded(plain.body))
    edits = registry.apply(betas, found, upstream_format=inbound.format, model=model, client_format=inbound.format)
    refusal = _refusal(edits, inbound.format)
    if refusal is not None:
        raise refusal
    if edits.betas == betas and not edits.body_changes:
        return plain
    fields = top_level(plain.body)
    moved, removed = edit_body(fields, edits)
    in_body = [name for name in ("anthropic_beta", "betas") if name in fields]
    for name in in_body:
        del fields[name]
    if in_body and edits.betas:
        fields[in_body[0]] = msgspec.Raw(msgspec.json.encode(edits.betas))
    headers = [(name, value) for name, value in plain.headers if name != b"anthropic-beta"]
    if inbound.format != BEDROCK and edits.betas and not in_body:
        headers.append((b"anthropic-beta", ",".join(edits.betas).encode("latin-1")))
    changed = bool(in_body or edits.body_changes)
    return Outbound(
        path=plain.path,
        headers=[*headers, *moved],
        body=msgspec.json.encode(fields) if changed else plain.body,
        betas_removed=edits.removed_betas,
        fields_removed=removed,
        betas_renamed=edits.renamed,
        betas_sent=edits.betas,
    )


def _decoded(body: bytes) -> dict[str, Any]:
    """The body as Python values, for reading only."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = _decoded_leniently(body)
    except RecursionError:
        raise BadBody("The request body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise BadBody("The request body must be a JSON object.")
    return value


def _decoded_leniently(body: bytes) -> object:
    """Half surrogate pairs and huge numbers occur in real requests; the standard library reads them."""
    try:
        return json.loads(body)
    except RecursionError:
        raise BadBody("The request body is nested too deeply.") from None
    except ValueError:
        raise BadBody("The request body is not valid JSON.") from None


def _betas(inbound: Inbound) -> tuple[str, ...]:
    """All betas of the request; a Messages body can name some beside the header's."""
    if inbound.format != ANTHROPIC or b"beta" not in inbound.body:
        return inbound.betas
    return tuple(dict.fromkeys((*inbound.betas, *read_envelope(inbound.body).betas)))


def _refusal(edits: Edits, upstream_format: str) -> NotBridgeable | None:
    if not edits.refused:
        return None
    feature, capability = edits.refused[0]
    return NotBridgeable(_spoken(feature), upstream_format, capability)


_SPOKEN = {
    "source.type=url": "An image or document given by its URL (source.type: url)",
    "source.type=file": "A file of the Files API (file_id)",
}


def _spoken(feature: str) -> str:
    if feature in _SPOKEN:
        return _SPOKEN[feature]
    if feature.startswith("tools[].type="):
        return f"The server tool {feature.removeprefix('tools[].type=')[:100]}"
    return f"The field {feature[:100]}"


def _for_bedrock_count(edits: Edits, betas: tuple[str, ...]) -> Edits:
    """Counting has its own short list of betas. What counts no tokens there is left out, not refused."""
    kept = tuple(beta for beta in betas if any(matches(pattern, beta) for pattern in _COUNT_BETAS))
    managed = any(beta.startswith("context-management-") for beta in kept)
    return Edits(
        betas=kept,
        removed_betas=tuple(beta for beta in betas if beta not in kept),
        removed_fields=tuple(name for name in edits.removed_fields if name != "context_management" or not managed),
        moved=edits.moved,
        refused=edits.refused,
    )
