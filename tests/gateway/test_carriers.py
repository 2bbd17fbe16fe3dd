"""Which header a caller's key may come in, and that none of them goes on to the provider."""

import pytest

from tests.fake_provider import FakeProvider
from tests.gateway.bodies import ask, assert_error
from tests.harness import KEYS, Gateway

KEY = KEYS["main"]
OTHER = "some-other-vendors-key-000000000000"

ACCEPTED = {
    "authorization": [("authorization", f"Bearer {KEY}")],
    "lower-case scheme": [("authorization", f"bearer {KEY}")],
    "x-api-key": [("x-api-key", KEY)],
    "both, equal": [("x-api-key", KEY), ("authorization", f"Bearer {KEY}")],
    "both, only authorization is ours": [("x-api-key", OTHER), ("authorization", f"Bearer {KEY}")],
    "both, only x-api-key is ours": [("x-api-key", KEY), ("authorization", f"Bearer {OTHER}")],
    "both, authorization of another kind": [("x-api-key", KEY), ("authorization", "Basic dXNlcjpwYXNz")],
}
REFUSED = {
    "none": [],
    "unknown": [("authorization", f"Bearer {OTHER}")],
    "empty": [("authorization", "Bearer "), ("x-api-key", "")],
    "basic": [("authorization", "Basic dXNlcjpwYXNz")],
    "both unknown": [("authorization", f"Bearer {OTHER}"), ("x-api-key", OTHER)],
    "prefix of a key": [("x-api-key", KEY[:-1])],
    "key with more behind": [("x-api-key", KEY + "x")],
    "not ascii": [("x-api-key", "schlüssel-schlüssel-schlüssel")],
    "very long": [("x-api-key", "k" * 8000)],
}


@pytest.mark.parametrize("carrier", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_key_is_taken_from(carrier: list[tuple[str, str]], gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(ask(), key="", headers=carrier)
    assert reply.status == 200, reply.body
    # The provider's own rules compare the credential; no other text of these headers may have come along.
    assert OTHER.encode() not in provider.received[-1].head
    assert b"dXNlcjpwYXNz" not in provider.received[-1].head
    assert gateway.record(reply.value("request-id"))["key"] == "main"


@pytest.mark.parametrize("carrier", REFUSED.values(), ids=REFUSED.keys())
def test_no_key_of_ours_is_refused_and_not_retried(
    carrier: list[tuple[str, str]], gateway: Gateway, provider: FakeProvider
) -> None:
    reply = gateway.post(ask(), key="", headers=carrier)
    assert_error(reply, 401, "authentication_error")
    assert reply.value("x-should-retry") == "false"
    assert provider.received == []
    record = gateway.record(reply.value("request-id"))
    assert (record["status"], record["outcome"], record["key"]) == (401, "refused", "")


@pytest.mark.parametrize("name", ["disabled", "expired", "elsewhere"])
def test_key_that_may_not_call_is_refused(name: str, gateway: Gateway, provider: FakeProvider) -> None:
    reply = gateway.post(ask(), key=KEYS[name])
    assert_error(reply, 401, "authentication_error")
    assert reply.value("x-should-retry") == "false"
    assert provider.received == []
    record = gateway.record(reply.value("request-id"))
    assert record["outcome"] == "refused"
    assert record["reason"]


def test_refusal_does_not_show_what_was_presented(gateway: Gateway) -> None:
    reply = gateway.post(ask(), key="", headers=[("x-api-key", OTHER)])
    assert OTHER not in reply.body.decode()
    assert OTHER not in gateway.errors.read_text()
