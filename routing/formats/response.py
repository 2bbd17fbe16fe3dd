"""Complete answers: from an upstream of one format to a client of another. Pure.

The message itself is the same JSON in all formats and keeps its bytes; token counts have other names on Bedrock, which also
repeats a message's usage in headers.
"""

from typing import Any

import msgspec

from accounting.money.usage import Usage
from routing.formats.base import BEDROCK, COUNT_TOKENS, Headers
from routing.formats.faults import FormatError, Reply
from routing.formats.stream_json import METRICS, counts

_HEADERS = {
    "inputTokenCount": b"x-amzn-bedrock-input-token-count",
    "outputTokenCount": b"x-amzn-bedrock-output-token-count",
    "cacheReadInputTokenCount": b"x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokenCount": b"x-amzn-bedrock-cache-write-input-token-count",
}
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Answer(msgspec.Struct):
    usage: Any = None


class _Counted(msgspec.Struct):
    input_tokens: int


class _AmazonCounted(msgspec.Struct):
    inputTokens: int  # noqa: N815 - as on the wire


def translate_response(
    upstream_format: str, client_format: str, operation: str, body: bytes, *, latency_ms: int = 0
) -> Reply:
    """The client's answer to a successful call. Between equal formats the body is the upstream's, byte for byte.

    `latency_ms` is how long the upstream took, for Bedrock's header. Raises `FormatError` for a body that is no such answer.
    """
    headers: Headers = [(b"content-type", b"application/json")]
    if upstream_format == client_format:
        return Reply(200, headers, body)
    if operation == COUNT_TOKENS:
        return Reply(200, headers, _count(upstream_format, client_format, body))
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except _UNREADABLE:
        raise FormatError("The upstream's answer is not a JSON object.") from None
    if client_format == BEDROCK:
        return Reply(200, [*headers, *_bedrock_headers(answer.usage, latency_ms)], body)
    return Reply(200, headers, _without_metrics(body))


def _count(upstream_format: str, client_format: str, body: bytes) -> bytes:
    if BEDROCK not in (upstream_format, client_format):
        return body
    try:
        if upstream_format == BEDROCK:
            return msgspec.json.encode(_Counted(msgspec.json.decode(body, type=_AmazonCounted).inputTokens))
        return msgspec.json.encode(_AmazonCounted(msgspec.json.decode(body, type=_Counted).input_tokens))
    except _UNREADABLE:
        raise FormatError("The upstream's answer has no count of tokens.") from None


def _bedrock_headers(reported: object, latency_ms: int) -> Headers:
    usage = Usage()
    usage.update(reported)
    headers = [(_HEADERS[name], str(value).encode()) for name, value in counts(usage).items()]
    return [*headers, (b"x-amzn-bedrock-invocation-latency", str(max(0, latency_ms)).encode())]


def _without_metrics(body: bytes) -> bytes:
    if METRICS.encode() not in body:
        return body
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return msgspec.json.encode(fields) if fields.pop(METRICS, None) is not None else body
