"""Errors as a client of each format expects them: upstream faults, and the gateway's own refusals. Pure.

Two tables carry the rules: what becomes of each kind of upstream fault, and which of Bedrock's names stands for a status.
An Anthropic error reaches an Anthropic client with its `error` object unchanged; everywhere else, texts of the clouds are
shown only where a client needs them (400 and 413), and then without ids, ARNs and addresses.
"""

import json
import re
from collections.abc import Sequence

import msgspec

from routing.formats import faults
from routing.formats.anthropic import error_body, error_event, with_request_id
from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Headers
from routing.formats.eventstream import ErrorFrame, ExceptionFrame, encode_exception
from routing.formats.faults import NotBridgeable, UpstreamFault
from routing.formats.wording import scrub, translated
from routing.proxy.errors import GatewayError, invalid, not_found, not_supported

# kind: (Messages type, status to Anthropic clients, status to Vertex clients, status and name to Bedrock clients)
_KINDS: dict[str, tuple[str, int, int, int, str]] = {
    faults.INVALID: ("invalid_request_error", 400, 400, 400, "ValidationException"),
    faults.CREDENTIAL: ("api_error", 502, 500, 500, "InternalServerException"),
    faults.PERMISSION: ("permission_error", 403, 403, 403, "AccessDeniedException"),
    faults.NOT_FOUND: ("not_found_error", 404, 404, 404, "ResourceNotFoundException"),
    faults.TOO_LARGE: ("request_too_large", 413, 400, 400, "ValidationException"),
    faults.RATE_LIMIT: ("rate_limit_error", 429, 429, 429, "ThrottlingException"),
    faults.TIMEOUT: ("timeout_error", 504, 504, 408, "ModelTimeoutException"),
    faults.MODEL_ERROR: ("api_error", 500, 500, 424, "ModelErrorException"),
    faults.INTERNAL: ("api_error", 500, 500, 500, "InternalServerException"),
    faults.OVERLOADED: ("overloaded_error", 529, 529, 503, "ServiceUnavailableException"),
    faults.BILLING: ("billing_error", 402, 402, 400, "ValidationException"),
    faults.CONFLICT: ("conflict_error", 409, 409, 400, "ValidationException"),
}
_TEXTS = {
    faults.INVALID: "The upstream refused the request.",
    faults.CREDENTIAL: "The gateway could not sign in to the upstream. This is for the gateway's administrator to put right.",
    faults.PERMISSION: "The upstream does not allow this request: the gateway's account has no access to the model.",
    faults.NOT_FOUND: "The upstream does not know this model.",
    faults.TOO_LARGE: "The request is larger than the upstream takes.",
    faults.RATE_LIMIT: "The upstream's rate limit is reached. Try again later.",
    faults.TIMEOUT: "The upstream took too long to answer.",
    faults.MODEL_ERROR: "The model failed while it worked on this request.",
    faults.INTERNAL: "The upstream failed.",
    faults.OVERLOADED: "The upstream is overloaded. Try again later.",
    faults.BILLING: "The upstream's account cannot be charged. This is for the gateway's administrator to put right.",
    faults.CONFLICT: "The upstream reports a conflict.",
}
# The status of a refusal of the gateway's own: (status to Bedrock clients, name)
_BEDROCK_NAMES: dict[int, tuple[int, str]] = {
    400: (400, "ValidationException"),
    401: (401, "UnrecognizedClientException"),
    402: (400, "ValidationException"),
    403: (403, "AccessDeniedException"),
    404: (404, "ResourceNotFoundException"),
    405: (405, "ValidationException"),
    408: (408, "ValidationException"),
    409: (400, "ValidationException"),
    413: (413, "ValidationException"),
    422: (400, "ValidationException"),
    424: (424, "ModelErrorException"),
    429: (429, "ThrottlingException"),
    431: (431, "ValidationException"),
    501: (501, "ValidationException"),
    503: (503, "ServiceUnavailableException"),
    504: (408, "ModelTimeoutException"),
    529: (503, "ServiceUnavailableException"),
}
_RETRY_AFTER = re.compile(r"[A-Za-z0-9 ,:+-]{1,64}")
_JSON = (b"content-type", b"application/json")


def render_error(
    client_format: str, problem: UpstreamFault | GatewayError, request_id: str, betas: Sequence[str] = ()
) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error answer. `betas` are the values that were sent upstream."""
    if isinstance(problem, UpstreamFault):
        return _fault(client_format, problem, request_id, betas)
    headers: Headers = [_JSON, *problem.headers]
    if problem.retry is not None:
        headers.append((b"x-should-retry", b"true" if problem.retry else b"false"))
    if problem.retry_after is not None:
        headers.append((b"retry-after", str(problem.retry_after).encode()))
    if client_format != BEDROCK:
        return problem.status, headers, error_body(problem.type, problem.message, request_id)
    status, name = _BEDROCK_NAMES.get(problem.status, (500, "InternalServerException"))
    headers.append((b"x-amzn-errortype", name.encode()))
    return status, headers, hybrid_body(problem.type, problem.message, request_id)


def refusal_of(error: NotBridgeable) -> GatewayError:
    """A request that no upstream of its route can take, as the gateway's own refusal."""
    if error.status == 501:
        return not_supported(error.message)
    return not_found(error.message) if error.status == 404 else invalid(error.message, "not_bridgeable")


def hybrid_body(error_type: str, message: str, request_id: str) -> bytes:
    """One body that boto3 (`message` at the top) and Claude Code (the envelope) both read."""
    error = {"type": error_type, "message": message}
    body = {"message": message, "type": "error", "error": error, "request_id": request_id}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def shown_message(client_format: str, fault: UpstreamFault, betas: Sequence[str] = ()) -> str:
    """The text of a fault that this client may see."""
    own = client_format == fault.format
    if fault.kind == faults.CREDENTIAL:
        return _TEXTS[fault.kind]
    if fault.kind in (faults.INVALID, faults.TOO_LARGE):
        anthropic_words = fault.format == ANTHROPIC or bool(fault.object_json)
        text = scrub(fault.message) if own or anthropic_words else translated(fault.message, betas)
        return text or _TEXTS[fault.kind]
    return (own and scrub(fault.message)) or _TEXTS[fault.kind]


def type_of(fault: UpstreamFault) -> str:
    """The Messages error type of a fault."""
    return _KINDS[fault.kind][0]


def _fault(
    client_format: str, fault: UpstreamFault, request_id: str, betas: Sequence[str]
) -> tuple[int, Headers, bytes]:
    error_type, to_anthropic, to_vertex, to_bedrock, name = _KINDS[fault.kind]
    headers = [_JSON, *_retry_headers(client_format, fault)]
    unchanged = _unchanged(client_format, fault, request_id)
    if unchanged is not None:
        return fault.status, headers, unchanged
    message = shown_message(client_format, fault, betas)
    if client_format == BEDROCK:
        if fault.format == BEDROCK and fault.kind != faults.CREDENTIAL and fault.type.isalnum():
            name, to_bedrock = fault.type, fault.status
        headers.append((b"x-amzn-errortype", name.encode()))
        return to_bedrock, headers, hybrid_body(error_type, message, request_id)
    status = to_anthropic if client_format == ANTHROPIC else to_vertex
    if fault.kind != faults.CREDENTIAL and client_format == fault.format == ANTHROPIC:
        status = fault.status
    if fault.status == 422 or (fault.status == 503 and client_format == ANTHROPIC and fault.kind == faults.OVERLOADED):
        status = fault.status
    return status, headers, error_body(error_type, message, request_id)


def _unchanged(client_format: str, fault: UpstreamFault, request_id: str) -> bytes | None:
    """The upstream's own body where a client of its format may have it; nothing where it has to be written anew."""
    if client_format != fault.format or fault.kind == faults.CREDENTIAL or not fault.body:
        return None
    if fault.format == ANTHROPIC:
        return with_request_id(fault.body, request_id) if fault.object_json else None
    if fault.format == VERTEX and fault.object_json:
        return with_request_id(fault.body, request_id) if scrub(fault.message) == fault.message else None
    if fault.format == VERTEX and fault.kind != faults.OVERLOADED:
        error = {"code": fault.status, "message": scrub(fault.message), "status": fault.type}
        return msgspec.json.encode({"error": error})
    return None


def _retry_headers(client_format: str, fault: UpstreamFault) -> Headers:
    headers: Headers = []
    if fault.kind in (faults.RATE_LIMIT, faults.OVERLOADED) and _RETRY_AFTER.fullmatch(fault.retry_after):
        headers.append((b"retry-after", fault.retry_after.encode()))
    if client_format == ANTHROPIC and fault.kind != faults.CREDENTIAL and fault.should_retry in ("true", "false"):
        headers.append((b"x-should-retry", fault.should_retry.encode()))
    return headers


_BUSY = ("overloaded_error", "rate_limit_error")
_OURS = ("api_error", "timeout_error", "")
# Source: Bedrock's service model, 2026-11.
_EXCEPTIONS = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
}
_KIND_OF_TYPE = {row[0]: kind for kind, row in reversed(_KINDS.items())}


def stream_error(client_format: str, error_type: str, message: str) -> bytes:
    """What ends a stream that has failed after its headers were sent; `error_type` is a Messages error type."""
    if client_format != BEDROCK:
        return error_event(error_type, message)
    if error_type in _BUSY:
        return encode_exception("throttlingException", message)
    name = "internalServerException" if error_type in _OURS else "validationException"
    return encode_exception(name, message)


def type_and_text(frame: ExceptionFrame | ErrorFrame, betas: Sequence[str] = ()) -> tuple[str, str]:
    """A frame that ended a Bedrock stream as a Messages error type and a text for a client of another format."""
    error_type = _EXCEPTIONS.get(frame.name, "api_error") if isinstance(frame, ExceptionFrame) else "api_error"
    if error_type == "invalid_request_error":
        return error_type, translated(frame.message, betas) or _TEXTS[faults.INVALID]
    return error_type, generic_text(error_type)


def generic_text(error_type: str) -> str:
    """A text without any detail for a Messages error type."""
    kind = faults.INTERNAL if error_type == "api_error" else _KIND_OF_TYPE.get(error_type, faults.INTERNAL)
    return _TEXTS[kind]
