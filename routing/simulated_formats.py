"""The simulated provider in all three formats: how a request comes, how answers and errors go. No I/O.

What is asked and what is answered is the same everywhere (`routing.simulated`); here are only the envelopes around it, so
that a provider of any format can be tried without an account.
"""

import json
from typing import Any

from routing.formats import bedrock, vertex
from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, MESSAGES, Headers
from routing.formats.errors import render_error
from routing.formats.eventstream import CONTENT_TYPE, encode_chunk
from routing.formats.names import Address
from routing.formats.peek import BadBody
from routing.proxy.errors import GatewayError
from routing.simulated import Refused

_PLAIN = {"/v1/messages": MESSAGES, "/v1/messages/count_tokens": COUNT_TOKENS}
SERVED = "The simulator serves /v1/messages, /v1/messages/count_tokens, Bedrock's invoke and Vertex's rawPredict."


def address_of(path: str) -> Address:
    """What a path asks for, in which format. Raises `Refused` where no provider has such an address."""
    if path in _PLAIN:
        return Address(ANTHROPIC, _PLAIN[path])
    try:
        found = bedrock.parse_path(path.encode()) or vertex.parse_path(path.encode())
    except BadBody as error:
        raise Refused(400, "invalid_request_error", str(error)) from None
    if found is None or found.format == ANTHROPIC or found.operation not in (MESSAGES, COUNT_TOKENS):
        raise Refused(404, "not_found_error", SERVED)
    return found


def plain_body(address: Address, body: bytes) -> bytes:
    """The body as the Messages format has it: with the model and the choice to stream that stand in the path elsewhere."""
    if address.format == ANTHROPIC:
        return body
    try:
        inner = bedrock.counted_body(body) if address.format == BEDROCK and address.operation == COUNT_TOKENS else body
        fields: Any = json.loads(inner or b"")
    except (BadBody, ValueError, RecursionError):
        raise Refused(400, "invalid_request_error", "The request body is not valid JSON.") from None
    if isinstance(fields, dict):
        fields = {**fields, "model": address.model or fields.get("model"), "stream": address.stream}
    return json.dumps(fields).encode()


def counted(address: Address, tokens: int) -> dict[str, int]:
    return {"inputTokens": tokens} if address.format == BEDROCK else {"input_tokens": tokens}


def stream_type(address: Address) -> bytes:
    return CONTENT_TYPE if address.format == BEDROCK else b"text/event-stream; charset=utf-8"


def framed(address: Address, event: dict[str, Any]) -> bytes:
    """One event of a stream, as this format frames it."""
    data = json.dumps(event, ensure_ascii=False)
    if address.format == BEDROCK:
        return encode_chunk(data.encode(errors="replace"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode(errors="replace")


def refusal(format_: str, refused: Refused, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body of a refusal."""
    if format_ == ANTHROPIC:
        return refused.status, [(b"content-type", b"application/json")], json.dumps(refused.body(request_id)).encode()
    error = GatewayError(refused.status, refused.kind, refused.text, "simulated")
    return render_error(format_, error, request_id)
