"""What of a request's line and headers reaches the provider, and what stays here."""

import pytest

from tests.fake_provider import FakeProvider
from tests.gateway.bodies import ask
from tests.harness import KEYS, UPSTREAM_CREDENTIAL, Gateway, send


def test_anthropic_headers_pass_as_written(gateway: Gateway, provider: FakeProvider) -> None:
    headers = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "claude-code-20250219, interleaved-thinking-2025-05-14,x-new-2030-01-01"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("anthropic-something-new", "Any Value; q=1"),
    ]
    assert gateway.post(ask(), headers=headers).status == 200
    request = provider.received[-1]
    for name, value in headers:
        assert request.values(name) == [value]


def test_repeated_beta_lines_are_joined(gateway: Gateway, provider: FakeProvider) -> None:
    headers = [("anthropic-beta", "one-2025-01-01"), ("anthropic-beta", "two-2025-01-01,three-2025-01-01")]
    assert gateway.post(ask(), headers=headers).status == 200
    values = provider.received[-1].value("anthropic-beta").replace(" ", "").split(",")
    assert values == ["one-2025-01-01", "two-2025-01-01", "three-2025-01-01"]


def test_unknown_version_passes(gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(), headers=[("anthropic-version", "2031-12-24")]).status == 200
    assert provider.received[-1].value("anthropic-version") == "2031-12-24"


HINTS = [
    "x-claude-code-request-class",
    "x-claude-code-prompt-id",
    "x-claude-code-agent-type",
    "x-claude-code-prev-tool-durations",
    "x-claude-code-auxiliary-type",
    "x-claude-code-compaction",
    "x-claude-code-context-compacted",
    "x-claude-code-managed-settings-checksum",
    "x-claude-code-something-new",
    "x-claude-1p-request-class",
]


def test_hints_for_the_gateway_stay_here(gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(), headers=[(name, "hint") for name in HINTS]).status == 200
    assert provider.violations == []


def test_traces_of_the_way_here_stay_here(gateway: Gateway, provider: FakeProvider) -> None:
    names = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via", "cookie"]
    headers = [(name, "10.1.2.3") for name in names]
    hop = [
        ("connection", "keep-alive, x-private"),
        ("x-private", "1"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eDp5"),
        ("keep-alive", "timeout=5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
    ]
    assert gateway.post(ask(), headers=[*headers, *hop]).status == 200
    assert provider.received[-1].values("x-private") == []


def test_gateway_key_in_any_header_stays_here(gateway: Gateway, provider: FakeProvider) -> None:
    headers = [("anthropic-custom", f"token={KEYS['main']}"), ("x-custom", KEYS["main"])]
    assert gateway.post(ask(), headers=headers).status == 200
    assert KEYS["main"].encode() not in provider.received[-1].head


def test_callers_upstream_credential_does_not_double(gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(), headers=[("x-api-key", "sk-ant-of-the-caller-000000")]).status == 200
    assert provider.received[-1].values("x-api-key") == [UPSTREAM_CREDENTIAL]


@pytest.mark.parametrize("query", ["", "?beta=true", "?beta=true&x=1", "?x=%2F&y"])
def test_queries_do_not_matter(query: str, gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(), f"/v1/messages{query}").status == 200
    assert provider.received[-1].path == "/v1/messages"
    count = {"model": "claude-same", "messages": [{"role": "user", "content": "x"}]}
    assert gateway.post(count, f"/v1/messages/count_tokens{query}").json["input_tokens"] > 0
    assert provider.received[-1].path == "/v1/messages/count_tokens"


def test_beta_query_is_passed_on(gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(), "/v1/messages?beta=true").status == 200
    assert provider.received[-1].target == "/v1/messages?beta=true"


@pytest.mark.parametrize(
    "path",
    ["/v1/messages", "/anthropic/v1/messages", "//v1/messages", "/anthropic//v1//messages", "//anthropic/v1/messages"],
)
def test_mounts_and_double_slashes(path: str, gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask(), path).status == 200
    assert provider.received[-1].path == "/v1/messages"


def test_upstream_connections_are_reused(gateway: Gateway, provider: FakeProvider) -> None:
    for _ in range(5):
        assert gateway.post(ask()).status == 200
        assert gateway.post(ask(stream=True)).status == 200
    assert len({request.connection for request in provider.received}) == 1


def test_connection_that_the_provider_has_closed_costs_nothing(gateway: Gateway, provider: FakeProvider) -> None:
    assert gateway.post(ask()).status == 200
    provider.drop_connections()
    assert gateway.post(ask()).status == 200


def test_client_may_use_one_connection_for_all(gateway: Gateway, provider: FakeProvider) -> None:
    with gateway.client() as client:
        for stream in (False, True, False, True):
            send(client, ask(stream=stream))
            assert client.reply().status == 200
        send(client, ask(), key="wrong")
        assert client.reply().status == 401
        send(client, ask())
        assert client.reply().status == 200
