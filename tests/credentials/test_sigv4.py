"""What the gateway signs, AWS takes: every signature is checked by `tests.fake_aws`, which knows no botocore."""

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.base import Headers
from routing.proxy.credentials.sigv4 import Signer
from tests.credentials.clock import START
from tests.fake_aws import SignatureMismatch, canonical_uri, verify

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
KEYS = {"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
SIGNER = Signer(("AKIDEXAMPLE", KEYS["AKIDEXAMPLE"], None), "bedrock", "us-east-1")
JSON: Headers = [(b"content-type", b"application/json")]

PATHS = [
    "/model/anthropic.claude-opus-5-5/invoke",
    "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke",
    "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke-with-response-stream",
    "/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile%2Fabc/invoke",
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/invoke",
    "/model/claude-opus@20251001%5B1m%5D/invoke",
    "/model/" + quote("modèle 模型", safe="") + "/invoke",
    "/vpc/base//model/x/./y/../invoke",
    "/model/%253A/invoke",
    "/",
]


def sent(path: str, body: bytes, headers: Headers = JSON, signer: Signer = SIGNER, now: float = START) -> Headers:
    """The headers of a signed request as they arrive."""
    payload = hashlib.sha256(body).hexdigest()
    added = signer.sign(method="POST", url=f"https://{HOST}{path}", headers=headers, payload=payload, now=now)
    return [(b"Host", HOST.encode()), *headers, *added]


def check(path: str, headers: Headers, body: bytes, **changes: object) -> None:
    options: dict[str, object] = {"region": "us-east-1", "service": "bedrock", "now": START, "secret_for": KEYS}
    verify("POST", path.encode(), headers, body, **(options | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [b"", b"{}", '{"text":"ä模"}'.encode(), bytes(range(256)) * 8])
def test_every_path_and_body_is_signed_as_sent(path: str, body: bytes) -> None:
    check(path, sent(path, body), body)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4), st.binary())
def test_any_encoded_path_is_signed_as_sent(segments: list[str], body: bytes) -> None:
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    check(path, sent(path, body), body)


def test_a_query_is_signed() -> None:
    path = "/inference-profiles?type=SYSTEM_DEFINED&maxResults=1&a=%2F"
    headers = sent(path, b"")
    check(path, headers, b"")
    with pytest.raises(SignatureMismatch, match="the signature is not"):
        check(path.replace("SYSTEM", "OTHER"), headers, b"")


def test_the_sent_path_is_encoded_once_more() -> None:
    assert canonical_uri(b"/model/a%3Ab:c%2Fd/invoke") == "/model/a%253Ab%3Ac%252Fd/invoke"


def test_signatures_equal_botocores_own() -> None:
    """Guards the steps that `Signer` takes itself against a botocore that changes its order of them."""
    request = AWSRequest("POST", f"https://{HOST}{PATHS[4]}", headers={"content-type": "a/b"}, data=b"body")
    SigV4Auth(Credentials("AKIDEXAMPLE", KEYS["AKIDEXAMPLE"], "token"), "bedrock", "us-east-1").add_auth(request)
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    signer = Signer(("AKIDEXAMPLE", KEYS["AKIDEXAMPLE"], "token"), "bedrock", "us-east-1")
    ours = dict(sent(PATHS[4], b"body", [(b"content-type", b"a/b")], signer, moment))
    assert ours[b"authorization"].decode() == request.headers["Authorization"]
    assert ours[b"x-amz-security-token"] == b"token"


def test_the_derived_key_follows_the_day() -> None:
    for now in (START, START + 1, START + 86_400, START):
        check("/model/x/invoke", sent("/model/x/invoke", b"{}", now=now), b"{}", now=now)


def test_headers_of_bedrock_are_signed_and_carriers_of_other_signatures_are_not() -> None:
    headers = [*JSON, (b"x-amzn-bedrock-trace", b"  ENABLED   now "), (b"accept", b"*/*"), (b"anthropic-beta", b"b")]
    signed = dict(sent("/m", b"{}", headers))[b"authorization"]
    assert b"SignedHeaders=content-type;host;x-amz-date;x-amzn-bedrock-trace," in signed
    check("/m", sent("/m", b"{}", headers), b"{}")
    stale: Headers = [(b"x-amz-content-sha256", b"0" * 64), (b"x-amz-date", b"20000101T000000Z")]
    assert dict(sent("/m", b"{}", [*JSON, *stale]))[b"authorization"] == dict(sent("/m", b"{}"))[b"authorization"]


def test_a_temporary_keys_token_is_sent_and_checked() -> None:
    signer = Signer(("AKIDEXAMPLE", KEYS["AKIDEXAMPLE"], "to/ken=="), "bedrock", "us-east-1")
    headers = sent("/m", b"{}", signer=signer)
    check("/m", headers, b"{}", tokens={"AKIDEXAMPLE": "to/ken=="})
    for tokens in ({}, {"AKIDEXAMPLE": "other"}):
        with pytest.raises(SignatureMismatch, match="session token"):
            check("/m", headers, b"{}", tokens=tokens)
    without = [pair for pair in headers if pair[0] != b"x-amz-security-token"]
    with pytest.raises(SignatureMismatch, match="x-amz-security-token is signed but not there"):
        check("/m", without, b"{}", tokens={"AKIDEXAMPLE": "to/ken=="})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/model/a%3Ab/invoke", b"{}"),
        ("/model/a:b/invokf", b"{}"),
        ("/model/a:b/invoke/", b"{}"),
        ("/model/A:b/invoke", b"{}"),
        ("/model/a:b/invoke?x=1", b"{}"),
        ("/model/a:b/invoke", b"{} "),
        ("/model/a:b/invoke", b""),
    ],
)
def test_an_altered_request_is_refused(path: str, body: bytes) -> None:
    headers = sent("/model/a:b/invoke", b"{}")
    check("/model/a:b/invoke", headers, b"{}")
    with pytest.raises(SignatureMismatch, match="the signature is not that of this request"):
        check(path, headers, body)


def replaced(headers: Headers, name: bytes, old: bytes, new: bytes) -> Headers:
    changed = [(key, value.replace(old, new) if key.lower() == name else value) for key, value in headers]
    assert changed != headers
    return changed


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        (b"host", b"us-east-1", b"us-west-2", "the signature is not"),
        (b"content-type", b"json", b"xml", "the signature is not"),
        (b"x-amz-date", b"Z", b"", "has not the form"),
        (b"authorization", b"AWS4-HMAC-SHA256", b"AWS4-ECDSA", "algorithm"),
        (b"authorization", b"AKIDEXAMPLE", b"AKIDOTHER", "unknown access key AKIDOTHER"),
        (b"authorization", b"us-east-1", b"us-west-2", "region us-west-2"),
        (b"authorization", b"/bedrock/", b"/bedrock-runtime/", "service bedrock-runtime"),
        (b"authorization", b"content-type;host;", b"content-type;", "host is not signed"),
        (b"authorization", b"content-type;host", b"host", "content-type is not signed"),
        (b"authorization", b"host;x-amz-date", b"host", "x-amz-date is not signed"),
        (b"authorization", b"content-type;host", b"host;content-type", "not sorted"),
        (b"authorization", b"Signature=", b"Sig=", "three parts"),
        (b"authorization", b"/aws4_request", b"", "incomplete"),
    ],
)
def test_an_altered_header_is_refused(name: bytes, old: bytes, new: bytes, reason: str) -> None:
    with pytest.raises(SignatureMismatch, match=reason):
        check("/m", replaced(sent("/m", b"{}"), name, old, new), b"{}")


def test_a_wrong_clock_secret_or_payload_hash_is_refused() -> None:
    headers = sent("/m", b"{}")
    for now in (START - 301, START + 301):
        with pytest.raises(SignatureMismatch, match="too long ago"):
            check("/m", headers, b"{}", now=now)
    check("/m", headers, b"{}", now=START + 299)
    with pytest.raises(SignatureMismatch, match="the signature is not"):
        check("/m", headers, b"{}", secret_for={"AKIDEXAMPLE": "other"})
    unsigned = replaced(headers, b"authorization", b"host;", b"host;x-amz-content-sha256;")
    with pytest.raises(SignatureMismatch, match="hash of the body"):
        check("/m", [*unsigned, (b"x-amz-content-sha256", b"UNSIGNED-PAYLOAD")], b"{}")


def test_doubled_or_missing_carriers_are_refused() -> None:
    headers = sent("/m", b"{}")
    with pytest.raises(SignatureMismatch, match="2 authorization headers"):
        check("/m", [*headers, (b"authorization", b"Bearer x")], b"{}")
    with pytest.raises(SignatureMismatch, match="0 authorization headers"):
        check("/m", JSON, b"{}")
    with pytest.raises(SignatureMismatch, match="x-amz-meta is not signed"):
        check("/m", [*headers, (b"x-amz-meta", b"1")], b"{}")
