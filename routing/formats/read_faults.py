"""Understands an upstream's error answer, whatever stands in it. Pure.

Anthropic sends its envelope; Bedrock a message and a header that names the error; Vertex either Anthropic's envelope or
Google's, the latter also inside a list of one. The edge in front of them sends HTML, plain text, or nothing.
"""

from dataclasses import replace
from typing import Any

import msgspec

from routing.formats import faults
from routing.formats.base import ANTHROPIC, BEDROCK, Headers
from routing.formats.faults import UpstreamFault

_MOST_READ = 256 * 1024
_BY_STATUS = {
    400: faults.INVALID,
    401: faults.CREDENTIAL,
    402: faults.BILLING,
    403: faults.PERMISSION,
    404: faults.NOT_FOUND,
    408: faults.TIMEOUT,
    409: faults.CONFLICT,
    413: faults.TOO_LARGE,
    424: faults.MODEL_ERROR,
    429: faults.RATE_LIMIT,
    499: faults.INTERNAL,
    503: faults.OVERLOADED,
    504: faults.TIMEOUT,
    529: faults.OVERLOADED,
}
# Source: Bedrock's service model and the common errors of AWS, 2026-11.
_BY_AMAZON_NAME = {
    "ValidationException": faults.INVALID,
    "ServiceQuotaExceededException": faults.INVALID,
    "AccessDeniedException": faults.PERMISSION,
    "UnrecognizedClientException": faults.CREDENTIAL,
    "ExpiredTokenException": faults.CREDENTIAL,
    "ExpiredToken": faults.CREDENTIAL,
    "InvalidSignatureException": faults.CREDENTIAL,
    "SignatureDoesNotMatch": faults.CREDENTIAL,
    "IncompleteSignatureException": faults.CREDENTIAL,
    "IncompleteSignature": faults.CREDENTIAL,
    "InvalidClientTokenId": faults.CREDENTIAL,
    "MissingAuthenticationTokenException": faults.CREDENTIAL,
    "ResourceNotFoundException": faults.NOT_FOUND,
    "ModelTimeoutException": faults.TIMEOUT,
    "ModelErrorException": faults.MODEL_ERROR,
    "ModelStreamErrorException": faults.MODEL_ERROR,
    "ThrottlingException": faults.RATE_LIMIT,
    "TooManyRequestsException": faults.RATE_LIMIT,
    "ModelNotReadyException": faults.RATE_LIMIT,
    "InternalServerException": faults.INTERNAL,
    "InternalFailure": faults.INTERNAL,
    "ServiceUnavailableException": faults.OVERLOADED,
    "ServiceUnavailable": faults.OVERLOADED,
}
_CREDENTIAL_WORDS = ("security token", "signature", "api key", "bearer token", "authentication")
# Source: google.rpc.Code, 2026-11.
_BY_GOOGLE_NAME = {
    "INVALID_ARGUMENT": faults.INVALID,
    "FAILED_PRECONDITION": faults.INVALID,
    "OUT_OF_RANGE": faults.INVALID,
    "UNAUTHENTICATED": faults.CREDENTIAL,
    "PERMISSION_DENIED": faults.PERMISSION,
    "NOT_FOUND": faults.NOT_FOUND,
    "RESOURCE_EXHAUSTED": faults.RATE_LIMIT,
    "CANCELLED": faults.INTERNAL,
    "INTERNAL": faults.INTERNAL,
    "UNAVAILABLE": faults.OVERLOADED,
    "DEADLINE_EXCEEDED": faults.TIMEOUT,
}


def read_error(upstream_format: str, status: int, headers: Headers, body: bytes) -> UpstreamFault:
    """What an answer outside 2xx says; a status that is no error's, as of a redirect, counts as 502. Never raises."""
    status = status if 400 <= status <= 599 else 502
    lowered = [(name.lower(), value) for name, value in headers]
    found = _fields(body)
    fault = _understood(upstream_format, status, lowered, found, body)
    return replace(
        fault,
        retry_after=_value(lowered, b"retry-after"),
        should_retry=_value(lowered, b"x-should-retry") if upstream_format == ANTHROPIC else "",
    )


def _understood(
    upstream_format: str, status: int, headers: Headers, found: dict[str, msgspec.Raw], body: bytes
) -> UpstreamFault:
    if upstream_format == BEDROCK:
        return _amazon(status, headers, found)
    error = _object(found.get("error"))
    if "status" in error or "code" in error:
        return _google(upstream_format, status, error, body)
    return _anthropic(upstream_format, status, found, body)


def kind_of_status(status: int) -> str:
    """The kind of a fault of which only the HTTP status is known."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return faults.INVALID if 400 <= status < 500 else faults.INTERNAL


def _anthropic(upstream: str, status: int, found: dict[str, msgspec.Raw], body: bytes) -> UpstreamFault:
    raw = found.get("error")
    error = _object(raw)
    return UpstreamFault(
        format=upstream,
        kind=kind_of_status(status),
        status=status,
        type=_text(error.get("type")),
        message=_text(error.get("message")),
        error_code=_text(_object(error.get("details")).get("error_code")),
        object_json=bytes(raw) if raw is not None and error else b"",
        body=body if error else b"",
    )


def _google(upstream: str, status: int, error: dict[str, msgspec.Raw], body: bytes) -> UpstreamFault:
    name = _text(error.get("status"))
    return UpstreamFault(
        format=upstream,
        kind=_BY_GOOGLE_NAME.get(name) or kind_of_status(status),
        status=status,
        type=name,
        message=_text(error.get("message")),
        body=body,
    )


def _amazon(status: int, headers: Headers, found: dict[str, msgspec.Raw]) -> UpstreamFault:
    name = _value(headers, b"x-amzn-errortype") or _text(found.get("__type")) or _text(found.get("code"))
    name = name.partition(":")[0].rpartition("#")[2]
    message = _text(found.get("message")) or _text(found.get("Message"))
    kind = _BY_AMAZON_NAME.get(name) or kind_of_status(status)
    if kind == faults.PERMISSION and any(words in message.lower() for words in _CREDENTIAL_WORDS):
        kind = faults.CREDENTIAL
    return UpstreamFault(BEDROCK, kind, status, name, message)


def _fields(body: bytes) -> dict[str, msgspec.Raw]:
    """The fields of the body's object, or of the first object of a list; nothing for a body of another kind."""
    if len(body) > _MOST_READ:
        return {}
    fields = _object(msgspec.Raw(body))
    if fields:
        return fields
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return _object(items[0]) if items else {}


def _object(raw: msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _text(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        value: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _value(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in headers if key == name), "")
