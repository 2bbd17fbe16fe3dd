"""Every kind of credential has an authorizer; the fixed ones cost no waiting."""

import subprocess
import sys
from pathlib import Path

import pytest

from routing.conf import CREDENTIAL_KINDS
from routing.formats.base import Headers
from routing.proxy.credentials import authorizer_for, token_refused
from routing.proxy.credentials.base import without_secrets
from tests.credentials.clock import provider
from tests.credentials.requests import no_fetch


def test_every_configurable_kind_has_an_authorizer() -> None:
    samples = {"access_key_id": "AKID", "json": "{}"}
    for kind, rules in CREDENTIAL_KINDS.items():
        values = {name: samples.get(name, "value") for name in rules.required}
        authorizer = authorizer_for(provider(sorted(rules.formats)[0], kind, **values), no_fetch)
        assert authorizer.status.ok is None


@pytest.mark.parametrize(
    ("kind", "values", "headers"),
    [
        ("api_key", {"api_key": "sk-1"}, [(b"x-api-key", b"sk-1")]),
        ("bearer", {"token": "t-1"}, [(b"authorization", b"Bearer t-1")]),
        ("none", {}, []),
    ],
)
async def test_a_fixed_credential_is_added_without_waiting(kind: str, values: dict[str, str], headers: Headers) -> None:
    authorizer = authorizer_for(provider("anthropic", kind, **values), no_fetch)
    assert authorizer.static_headers == headers
    assert await authorizer.authorize(method="POST", url="https://x/", headers=[], body=b"") == headers
    assert "-1" not in repr(authorizer)
    authorizer.expire()
    await authorizer.close()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'magic' is not a kind"):
        authorizer_for(provider("anthropic", "magic"), no_fetch)


def test_only_answers_about_the_token_itself_ask_for_a_new_one() -> None:
    name = b"x-amzn-errortype"
    assert token_refused(401, [])
    assert token_refused(403, [(name, b"ExpiredTokenException:http://internal.amazon.com/coral/")])
    assert token_refused(403, [(b"X-Amzn-ErrorType", b"UnrecognizedClientException")])
    assert not token_refused(403, [(name, b"AccessDeniedException")])
    assert not token_refused(403, [])
    assert not token_refused(429, [(name, b"ExpiredTokenException")])


def test_an_endpoints_words_are_one_short_line_without_secrets() -> None:
    assert without_secrets("a\r\nb\x00 s3cret", ["s3cret", ""]) == "a b ***"
    assert len(without_secrets("x" * 1000, [])) == 300


def test_start_of_the_gateway_does_not_load_what_only_some_credentials_need() -> None:
    """botocore and google-auth double the start time."""
    code = (
        "import sys, routing.proxy.credentials;"
        "sys.exit(any(name.split('.')[0] in ('botocore', 'google', 'urllib3') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
