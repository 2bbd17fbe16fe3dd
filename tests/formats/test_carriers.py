"""Where the gateway looks for its key, in which order."""

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Headers
from routing.formats.carriers import credentials_of

SIGNED = (b"authorization", b"AWS4-HMAC-SHA256 Credential=AKIA/20261123/us-east-1/bedrock/aws4_request, Signature=ab")


@pytest.mark.parametrize("format_", [ANTHROPIC, BEDROCK, VERTEX])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"authorization", b"Bearer K")], ["K"]),
        ([(b"authorization", b"bearer  K ")], ["K"]),
        ([(b"x-api-key", b"K")], ["K"]),
        ([(b"x-api-key", b"K"), (b"authorization", b"Bearer K")], ["K"]),
        ([(b"x-api-key", b"A"), (b"authorization", b"Bearer B")], ["B", "A"]),
        ([(b"authorization", b"Basic abc"), (b"x-api-key", b"K")], ["K"]),
        ([(b"authorization", b"Bearer "), (b"x-api-key", b"")], []),
        ([], []),
    ],
)
def test_bearer_tokens_come_before_api_keys(format_: str, headers: Headers, expected: list[str]) -> None:
    assert credentials_of(headers, format_) == expected


def test_a_signed_bedrock_request_carries_no_key() -> None:
    assert credentials_of([SIGNED], BEDROCK) == []
    assert credentials_of([SIGNED, (b"x-api-key", b"K")], BEDROCK) == []
