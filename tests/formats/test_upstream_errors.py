"""Every row of the table of errors: an upstream's error, as clients of each format get it."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Headers, header
from routing.formats.errors import render_error
from routing.formats.faults import KINDS
from routing.formats.read_faults import read_error
from tests.formats.golden import FORMATS, compact

SECRET = "User: arn:aws:sts::123456789012:assumed-role/gw/i is not in projects/my-secret-project at 10.1.2.3"


@dataclass(frozen=True)
class Answer:
    """One upstream's error answer."""

    format: str
    status: int
    headers: Headers
    body: bytes


def anthropic(status: int, error_type: str, message: str = "Sorry.", upstream: str = ANTHROPIC) -> Answer:
    body = {"type": "error", "error": {"type": error_type, "message": message}, "request_id": "req_upstream"}
    return Answer(upstream, status, [(b"Content-Type", b"application/json")], compact(body))


def amazon(status: int, name: str, message: str = "Sorry.") -> Answer:
    headers: Headers = [(b"x-amzn-ErrorType", f"{name}:http://internal.amazon.com/coral/".encode())]
    return Answer(BEDROCK, status, headers, compact({"message": message}))


def google(status: int, name: str, message: str = "Sorry.") -> Answer:
    error = {"code": status, "message": message, "status": name, "details": [{"metadata": {"consumer": "projects/9"}}]}
    return Answer(VERTEX, status, [], compact({"error": error}))


def rendered(client: str, answer: Answer) -> tuple[int, Headers, dict[str, Any]]:
    fault = read_error(answer.format, answer.status, answer.headers, answer.body)
    status, headers, body = render_error(client, fault, "req_ours", betas=("some-beta-2026-01-01",))
    return status, headers, json.loads(body)


@dataclass(frozen=True)
class Row:
    """What a group of upstream errors becomes: status and type for A and V, status and name for B."""

    answers: tuple[Answer, ...]
    a: tuple[int, str]
    b: tuple[int, str]
    v: tuple[int, str]


ROWS = {
    "invalid request": Row(
        (
            anthropic(400, "invalid_request_error"),
            amazon(400, "ValidationException"),
            google(400, "INVALID_ARGUMENT"),
            google(400, "FAILED_PRECONDITION"),
            anthropic(400, "invalid_request_error", upstream=VERTEX),
        ),
        (400, "invalid_request_error"),
        (400, "ValidationException"),
        (400, "invalid_request_error"),
    ),
    "the gateway's own credential": Row(
        (
            anthropic(401, "authentication_error", SECRET),
            amazon(403, "UnrecognizedClientException", SECRET),
            amazon(403, "ExpiredTokenException", SECRET),
            amazon(403, "InvalidSignatureException", SECRET),
            amazon(403, "AccessDeniedException", "Please make sure your API Key is valid. " + SECRET),
            google(401, "UNAUTHENTICATED", SECRET),
            anthropic(401, "authentication_error", SECRET, VERTEX),
        ),
        (502, "api_error"),
        (500, "InternalServerException"),
        (500, "api_error"),
    ),
    "no access": Row(
        (
            anthropic(403, "permission_error"),
            amazon(403, "AccessDeniedException"),
            google(403, "PERMISSION_DENIED"),
        ),
        (403, "permission_error"),
        (403, "AccessDeniedException"),
        (403, "permission_error"),
    ),
    "not found": Row(
        (
            anthropic(404, "not_found_error"),
            amazon(404, "ResourceNotFoundException"),
            google(404, "NOT_FOUND"),
        ),
        (404, "not_found_error"),
        (404, "ResourceNotFoundException"),
        (404, "not_found_error"),
    ),
    "too large": Row(
        (
            anthropic(413, "request_too_large"),
            Answer(ANTHROPIC, 413, [], b"<html>413</html>"),
            anthropic(413, "request_too_large", upstream=VERTEX),
        ),
        (413, "request_too_large"),
        (400, "ValidationException"),
        (400, "request_too_large"),
    ),
    "rate limit": Row(
        (
            anthropic(429, "rate_limit_error"),
            amazon(429, "ThrottlingException"),
            amazon(429, "ModelNotReadyException"),
            google(429, "RESOURCE_EXHAUSTED"),
        ),
        (429, "rate_limit_error"),
        (429, "ThrottlingException"),
        (429, "rate_limit_error"),
    ),
    "timeout": Row(
        (
            anthropic(504, "timeout_error"),
            amazon(408, "ModelTimeoutException"),
            google(504, "DEADLINE_EXCEEDED"),
        ),
        (504, "timeout_error"),
        (408, "ModelTimeoutException"),
        (504, "timeout_error"),
    ),
    "model error": Row(
        (amazon(424, "ModelErrorException"), amazon(424, "ModelStreamErrorException")),
        (500, "api_error"),
        (424, "ModelErrorException"),
        (500, "api_error"),
    ),
    "internal": Row(
        (anthropic(500, "api_error"), amazon(500, "InternalServerException"), google(500, "INTERNAL")),
        (500, "api_error"),
        (500, "InternalServerException"),
        (500, "api_error"),
    ),
    "overloaded": Row(
        (anthropic(529, "overloaded_error"), anthropic(529, "overloaded_error", upstream=VERTEX)),
        (529, "overloaded_error"),
        (503, "ServiceUnavailableException"),
        (529, "overloaded_error"),
    ),
    "unavailable": Row(
        (
            anthropic(503, "overloaded_error"),
            amazon(503, "ServiceUnavailableException"),
            google(503, "UNAVAILABLE"),
        ),
        (503, "overloaded_error"),
        (503, "ServiceUnavailableException"),
        (529, "overloaded_error"),
    ),
    "billing": Row(
        (anthropic(402, "billing_error"),), (402, "billing_error"), (400, "ValidationException"), (402, "billing_error")
    ),
    "conflict": Row(
        (anthropic(409, "conflict_error"),),
        (409, "conflict_error"),
        (400, "ValidationException"),
        (409, "conflict_error"),
    ),
    "unprocessable": Row(
        (anthropic(422, "invalid_request_error"),),
        (422, "invalid_request_error"),
        (400, "ValidationException"),
        (422, "invalid_request_error"),
    ),
}
CELLS = [
    pytest.param(client, answer, getattr(row, client[0]), id=f"{name}-{answer.format}-{number}-to-{client}")
    for name, row in ROWS.items()
    for number, answer in enumerate(row.answers)
    for client in FORMATS
]


@pytest.mark.parametrize(("client", "answer", "expected"), CELLS)
def test_row_of_the_error_table(client: str, answer: Answer, expected: tuple[int, str]) -> None:
    status, headers, body = rendered(client, answer)
    if client == BEDROCK:
        if answer.format == BEDROCK and expected[0] not in (500,):
            expected = (answer.status, header(answer.headers, b"x-amzn-ErrorType").decode().partition(":")[0])
        assert (status, header(headers, b"x-amzn-errortype").decode()) == expected
        assert body["message"] == body["error"]["message"] != ""
    elif (
        client == answer.format == VERTEX and b"details" in answer.body and "sign in" not in str(body) and status != 529
    ):
        assert status == expected[0] == answer.status
        assert set(body) == {"error"}
        assert set(body["error"]) == {"code", "message", "status"}
        return
    elif client == answer.format == VERTEX:  # as the upstream said it, in Anthropic's envelope
        assert status in (expected[0], answer.status)
        assert body["error"]["type"]
    else:
        assert (status, body["error"]["type"]) == expected
    assert (body["type"], body["request_id"]) == ("error", "req_ours")
    assert header(headers, b"content-type") == b"application/json"


@pytest.mark.parametrize("answer", ROWS["the gateway's own credential"].answers)
@pytest.mark.parametrize("client", FORMATS)
def test_the_gateways_credential_is_never_spoken_of_in_detail(client: str, answer: Answer) -> None:
    _, _, body = rendered(client, answer)
    assert "sign in" in body["error"]["message"]
    assert "123456789012" not in json.dumps(body)


def test_an_anthropic_error_reaches_an_anthropic_client_unchanged() -> None:
    error = b'{ "type":"invalid_request_error", "message":"a\\u0062", "details":{"error_code":"tool_name_conflict"},"new":1.50}'
    raw = b'{"type":"error","error":' + error + b',"request_id":"req_upstream","extra":[1, 2]}'
    fault = read_error(ANTHROPIC, 400, [], raw)
    status, _, body = render_error(ANTHROPIC, fault, "req_ours")
    assert status == 400
    assert error in body
    assert b'"request_id":"req_ours"' in body
    assert b"req_upstream" not in body
    assert fault.error_code == "tool_name_conflict"


@pytest.mark.parametrize("client", [BEDROCK, VERTEX])
def test_anthropics_sentence_about_a_bad_request_is_kept_for_all(client: str) -> None:
    _, _, body = rendered(
        client, anthropic(400, "invalid_request_error", "messages.0: thinking.budget_tokens: too low")
    )
    assert body["error"]["message"] == "messages.0: thinking.budget_tokens: too low"


TEXTS = {
    "prompt is too long: 210000 tokens > 200000 maximum": "prompt is too long: 210000 tokens > 200000 maximum",
    "Input is too long for requested model.": "Input is too long for requested model.",
    "Input is too long.": "Input is too long.",
    "messages.2: role 'system' is not supported on this model": "capability_rejected: mid_conv_system",
    f"messages: roles must alternate {SECRET}": "messages: roles must alternate User: [removed] is not in projects/[removed]"
    " at [removed]",
}


@pytest.mark.parametrize("said", TEXTS)
def test_bedrocks_sentence_about_a_bad_request_is_kept_classified_or_cleaned(said: str) -> None:
    _, _, body = rendered(ANTHROPIC, amazon(400, "ValidationException", said))
    assert body["error"]["message"] == TEXTS[said]


def test_a_beta_that_bedrock_names_is_named_to_the_client() -> None:
    _, _, body = rendered(ANTHROPIC, amazon(400, "ValidationException", "invalid beta flag: some-beta-2026-01-01"))
    assert body["error"]["message"] == "capability_rejected: beta_header:some-beta-2026-01-01"


DETAILED = [
    *(amazon(status, name, SECRET) for status, name in ((403, "AccessDeniedException"), (429, "ThrottlingException"))),
    *(amazon(status, "X", SECRET) for status in (400, 404, 424, 500, 503)),
    *(
        google(s, n, SECRET)
        for s, n in ((400, "INVALID_ARGUMENT"), (403, "PERMISSION_DENIED"), (429, "RESOURCE_EXHAUSTED"))
    ),
    *(anthropic(status, "api_error", SECRET, VERTEX) for status in (400, 403, 429, 500)),
]


@pytest.mark.parametrize("answer", DETAILED)
@pytest.mark.parametrize("client", FORMATS)
def test_no_account_project_or_address_is_shown(client: str, answer: Answer) -> None:
    _, headers, body = rendered(client, answer)
    everything = json.dumps(body) + repr(headers)
    for secret in ("123456789012", "arn:", "my-secret-project", "10.1.2.3", "projects/9", "internal.amazon"):
        assert secret not in everything


def test_bedrocks_own_words_reach_a_bedrock_client() -> None:
    text = "You don't have access to the model with the specified model ID."
    status, headers, body = rendered(BEDROCK, amazon(403, "AccessDeniedException", text))
    assert (status, body["message"]) == (403, text)
    assert header(headers, b"x-amzn-errortype") == b"AccessDeniedException"


@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("value", [b"17", b"Fri, 31 Dec 2027 23:59:59 GMT"])
def test_the_time_to_wait_is_passed_on(client: str, value: bytes) -> None:
    for answer in (
        anthropic(429, "rate_limit_error"),
        amazon(429, "ThrottlingException"),
        google(429, "RESOURCE_EXHAUSTED"),
    ):
        timed = Answer(answer.format, answer.status, [*answer.headers, (b"Retry-After", value)], answer.body)
        assert header(rendered(client, timed)[1], b"retry-after") == value


def test_a_time_to_wait_that_is_no_time_stays_behind() -> None:
    answer = Answer(ANTHROPIC, 429, [(b"retry-after", b"1\r\nx: y")], anthropic(429, "rate_limit_error").body)
    assert not header(rendered(ANTHROPIC, answer)[1], b"retry-after")


def test_googles_error_in_a_list_is_understood() -> None:
    inside = google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for x")
    fault = read_error(VERTEX, 429, [], b"[" + inside.body + b"]")
    assert (fault.kind, fault.type, fault.message) == ("rate_limit", "RESOURCE_EXHAUSTED", "Quota exceeded for x")


def test_amazons_name_is_found_in_the_body_too() -> None:
    fault = read_error(BEDROCK, 400, [], b'{"__type":"com.amazon#ThrottlingException","Message":"slow down"}')
    assert (fault.kind, fault.type, fault.message) == ("rate_limit", "ThrottlingException", "slow down")


ODD = [
    b"",
    b"<html>Bad gateway</html>",
    b"null",
    b"[]",
    b'"x"',
    b'{"error":"x"}',
    b'{"error":{"message":7}}',
    b"\xff",
    b"[" * 99_999,
]


@pytest.mark.parametrize("body", ODD)
@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("upstream", FORMATS)
def test_an_answer_without_an_error_in_it_still_becomes_one(upstream: str, client: str, body: bytes) -> None:
    for status in (302, 400, 403, 404, 413, 418, 429, 500, 502, 503, 599):
        code, _, shown = rendered(client, Answer(upstream, status, [], body))
        assert 400 <= code <= 599
        assert isinstance(shown["error"], dict)


@given(st.sampled_from(FORMATS), st.sampled_from(FORMATS), st.integers(300, 599), st.binary(max_size=300))
def test_no_answer_breaks_the_reader(upstream: str, client: str, status: int, body: bytes) -> None:
    fault = read_error(upstream, status, [(b"x-amzn-errortype", body[:20])], body)
    assert fault.kind in KINDS
    code, headers, shown = render_error(client, fault, "req_ours")
    assert 400 <= code <= 599
    assert isinstance(json.loads(shown), dict)
    for name, value in headers:
        assert b"\n" not in name + value
