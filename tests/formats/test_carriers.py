"""Where the gateway looks for its key, in which order."""

import pytest

from routing.formats.base import Headers
from routing.formats.carriers import credentials_of

SIGNED = (b"authorization", b"AWS4-HMAC-SHA256 Credential=AKIA/20261123/us-east-1/bedrock/aws4_request, Signature=ab")


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
def test_bearer_tokens_come_before_api_keys(headers: Headers, expected: list[str]) -> None:
    assert credentials_of(headers) == expected


def test_a_signature_is_no_key_and_does_not_hide_one() -> None:
    assert credentials_of([SIGNED]) == []
    assert credentials_of([SIGNED, (b"x-api-key", b"K")]) == ["K"]
