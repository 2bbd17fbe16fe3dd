"""The Anthropic Messages format: requests in, requests out, errors, the list of models. No I/O.

This is the hub: the other two formats carry the same bodies in other envelopes.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from routing.formats.base import ANTHROPIC, COUNT_TOKENS, MESSAGES, Headers, Inbound, Outbound, header, joined
from routing.formats.headers import for_upstream
from routing.formats.peek import flag_of, model_span, number_of, peek, session_of, text_of

DEFAULT_VERSION = "2023-06-01"  # what an upstream is told when a client names no version
PATHS = {MESSAGES: "/v1/messages", COUNT_TOKENS: "/v1/messages/count_tokens"}
_LONGEST_ID = 200
_READ = frozenset(
    {
        b"anthropic-version",
        b"anthropic-beta",
        b"x-claude-code-session-id",
        b"x-claude-code-agent-id",
        b"x-claude-code-parent-agent-id",
    }
)


def parse(operation: str, headers: Headers, body: bytes) -> Inbound:
    """What a client asks for. Raises `BadBody` for a body that is not a JSON object with a `model`."""
    seen = peek(body)
    said = {name: value for name, value in reversed(headers) if name in _READ}  # the first of a name counts
    return Inbound(
        format=ANTHROPIC,
        operation=operation,
        model=text_of(seen.model, "model"),
        stream=operation == MESSAGES and flag_of(seen.stream, "stream"),
        body=body,
        headers=headers,
        version=said.get(b"anthropic-version", b"").decode("latin-1"),
        betas=betas_of(headers) if b"anthropic-beta" in said else (),
        max_tokens=number_of(seen.max_tokens),
        session_id=_id(said, b"x-claude-code-session-id") or session_of(seen.metadata),
        agent_id=_id(said, b"x-claude-code-agent-id"),
        parent_agent_id=_id(said, b"x-claude-code-parent-agent-id"),
        model_json=bytes(seen.model),
    )


def betas_of(headers: Headers) -> tuple[str, ...]:
    """The values of `anthropic-beta`, in order, each once."""
    values = joined(headers, b"anthropic-beta").decode("latin-1").split(",")
    return tuple(dict.fromkeys(value.strip() for value in values if value.strip()))


def _id(said: Mapping[bytes, bytes], name: bytes) -> str:
    return said.get(name, b"")[:_LONGEST_ID].decode("latin-1")


def same_format(inbound: Inbound, model: str, secret: bytes, query: bytes) -> Outbound:
    """The request for an upstream that speaks this format too: the client's bytes, but for the model's name."""
    # The span is looked for even when nothing is replaced: a body with two `model` keys is refused either way.
    start, end = model_span(inbound.body, inbound.model_json)
    body = inbound.body
    if model != inbound.model:
        body = b"%b%b%b" % (body[:start], json.dumps(model).encode(), body[end:])
    headers = for_upstream(inbound.headers, secret)
    headers.append((b"anthropic-version", (inbound.version or DEFAULT_VERSION).encode("latin-1")))
    beta = joined(inbound.headers, b"anthropic-beta")
    if beta:
        headers.append((b"anthropic-beta", beta))
    if not header(headers, b"content-type"):
        headers.append((b"content-type", b"application/json"))
    headers.append((b"accept-encoding", b"identity"))  # what arrives is passed on and metered as it is
    suffix = "?beta=true" if b"beta=true" in query.split(b"&") else ""
    return Outbound(path=PATHS[inbound.operation] + suffix, headers=headers, body=body)


def error_body(error_type: str, message: str, request_id: str) -> bytes:
    """The Messages error envelope."""
    envelope = {"type": "error", "error": {"type": error_type, "message": message}, "request_id": request_id}
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def error_event(error_type: str, message: str) -> bytes:
    """The event that ends a stream which has failed after its headers were sent."""
    data = {"type": "error", "error": {"type": error_type, "message": message}}
    return b"event: error\ndata: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class ErrorObject(msgspec.Struct):
    type: str = "api_error"
    message: str = ""


class _Envelope(msgspec.Struct):
    error: ErrorObject


def read_error(body: bytes) -> ErrorObject | None:
    """The `error` object of an upstream's envelope; nothing if the body is something else."""
    try:
        return msgspec.json.decode(body, type=_Envelope).error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def with_request_id(body: bytes, request_id: str) -> bytes:
    """An upstream's error envelope with our id in it; the `error` object and every other field keep their bytes."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return body
    fields["request_id"] = msgspec.Raw(json.dumps(request_id).encode())
    return msgspec.json.encode(fields)


class ModelRow(msgspec.Struct, frozen=True):
    """A model as `GET /v1/models` shows it."""

    id: str
    display_name: str
    created_at: datetime
    type: str = "model"


class ModelPage(msgspec.Struct):
    data: Sequence[ModelRow]
    has_more: bool
    first_id: str | None
    last_id: str | None


def model_page(rows: Sequence[ModelRow], limit: int, after_id: str, before_id: str) -> bytes:
    """One page of the list, as upstream pages: `after_id` and `before_id` are ids, `limit` is 1 to 1000."""
    ids = [row.id for row in rows]
    if after_id:
        begin = ids.index(after_id) + 1 if after_id in ids else len(ids)
        page, more = rows[begin : begin + limit], begin + limit < len(rows)
    elif before_id:
        end = ids.index(before_id) if before_id in ids else 0
        page, more = rows[max(0, end - limit) : end], end - limit > 0
    else:
        page, more = rows[:limit], limit < len(rows)
    return msgspec.json.encode(
        ModelPage(
            data=page, has_more=more, first_id=page[0].id if page else None, last_id=page[-1].id if page else None
        )
    )
