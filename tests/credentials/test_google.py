"""Google credentials, from a key file or the machine's default to tokens that Google takes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from routing.proxy.credentials import Authorizer, CredentialUnavailable, authorizer_for
from tests.credentials.clock import HandClock, provider
from tests.credentials.requests import authorized, no_fetch, refreshed
from tests.fake_google import FakeGoogle, Refused, key_file

TOKEN_URI = "https://token.example/oauth/token"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def account(google: FakeGoogle, clock: HandClock, **changes: object) -> Authorizer:
    text = key_file(google.token_uri, **changes)
    return authorizer_for(provider("vertex", "google_service_account", json=text), google.fetch, clock)


async def test_a_service_account_gets_one_token_for_everybody(clock: HandClock) -> None:
    google = FakeGoogle(TOKEN_URI, now=clock.now)
    authorizer = account(google, clock)
    assert authorizer.static_headers is None
    for headers in await asyncio.gather(*(authorized(authorizer) for _ in range(100))):
        google.check_request(headers)
    assert google.calls == 1
    await authorizer.close()


async def test_its_token_uri_is_where_the_assertion_goes(clock: HandClock) -> None:
    google = FakeGoogle("https://private.example:8443/t", now=clock.now)
    urls = []

    async def fetch(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url))
        return await google.fetch(request)

    for text in (key_file(google.token_uri), key_file("")):
        authorizer = authorizer_for(provider("vertex", "google_service_account", json=text), fetch, clock)
        await asyncio.gather(authorized(authorizer), return_exceptions=True)
        await authorizer.close()
    assert urls == ["https://private.example:8443/t", "https://oauth2.googleapis.com/token"]


async def test_a_private_token_uri_is_called_if_the_provider_allows_private_addresses(clock: HandClock) -> None:
    google = FakeGoogle("http://10.0.0.7/token", now=clock.now)
    private = provider("vertex", "google_service_account", json=key_file(google.token_uri))
    authorizer = authorizer_for(replace(private, allow_private_addresses=True), google.fetch, clock)
    google.check_request(await authorized(authorizer))
    await authorizer.close()


async def test_a_google_token_is_renewed_ahead_of_its_end(clock: HandClock) -> None:
    google = FakeGoogle(TOKEN_URI, now=clock.now)
    authorizer = account(google, clock)
    await authorized(authorizer)
    clock.sleep(3000)
    google.check_request(await authorized(authorizer))
    await refreshed(authorizer, clock)
    clock.sleep(1000)
    google.check_request(await authorized(authorizer))
    assert google.calls == 2
    await authorizer.close()


async def test_a_google_token_refused_early_is_fetched_anew(clock: HandClock) -> None:
    google = FakeGoogle(TOKEN_URI, now=clock.now)
    authorizer = account(google, clock)
    headers = await authorized(authorizer)
    google.revoke_all()
    with pytest.raises(Refused):
        google.check_request(await authorized(authorizer))
    authorizer.expire(headers)
    google.check_request(await authorized(authorizer))
    clock.sleep(10)
    authorizer.expire(headers)
    await authorized(authorizer)
    assert google.calls == 2
    authorizer.expire()
    await authorized(authorizer)
    assert google.calls == 3
    await authorizer.close()


async def test_a_refused_assertion_is_told_without_it(clock: HandClock) -> None:
    google = FakeGoogle(TOKEN_URI, failing="invalid_grant", now=clock.now)
    authorizer = account(google, clock)
    with pytest.raises(CredentialUnavailable, match=r"answered 400 invalid_grant: you said \*\*\*"):
        await authorized(authorizer)
    await authorizer.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json: hunter2", "not JSON"),
        ("[]", "not that of a service account"),
        ('{"type": "authorized_user"}', "not that of a service account"),
        ('{"type": "service_account"}', "no client_email"),
        ('{"client_email": "a@b", "private_key": ""}', "no private_key"),
        ('{"client_email": "a@b", "private_key": "hunter2"}', "private_key cannot be read"),
        (key_file("no address"), "the token endpoint's address"),
        (key_file("http://169.254.169.254/token"), "the token endpoint's address: 169.254.169.254 is not a public"),
    ],
)
async def test_a_wrong_key_file_is_a_clear_failure(clock: HandClock, text: str, words: str) -> None:
    authorizer = authorizer_for(provider("vertex", "google_service_account", json=text), no_fetch, clock)
    with pytest.raises(CredentialUnavailable, match=words) as caught:
        await authorized(authorizer)
    assert "hunter2" not in str(caught.value)
    await authorizer.close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"", "200 with something that is not a JSON object"),
        (200, b"[]", "not a JSON object"),
        (502, b"<html>bad gateway", "502 with something"),
        (503, b"{}", "503 no error code"),
        (302, b"{}", "answered 302"),
        (200, b"{}", "no usable access_token"),
        (200, b'{"access_token": "a\\r\\nx: y"}', "no usable access_token"),
        (200, b'{"access_token": "a", "expires_in": "soon"}', "no usable expires_in"),
        (200, b'{"access_token": "a", "expires_in": 0}', "already expired"),
        (200, b"x" * 300_000, "too long"),
    ],
)
async def test_a_broken_answer_of_google_is_a_clear_failure(
    clock: HandClock, status: int, body: bytes, words: str
) -> None:
    async def fetch(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body)

    text = key_file(TOKEN_URI)
    authorizer = authorizer_for(provider("vertex", "google_service_account", json=text), fetch, clock)
    with pytest.raises(CredentialUnavailable, match=words):
        await authorized(authorizer)
    await authorizer.close()


async def test_googles_default_credentials_come_from_the_environments_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_tcp_port: int
) -> None:
    google = FakeGoogle(f"http://127.0.0.1:{unused_tcp_port}/token")
    (tmp_path / "adc.json").write_text(key_file(google.token_uri))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "billing-project")
    authorizer = authorizer_for(provider("vertex", "google_default"), no_fetch)
    server = await asyncio.start_server(served(google), "127.0.0.1", unused_tcp_port)
    async with server:
        headers = await authorized(authorizer)
        google.check_request(headers)
        assert (b"x-goog-user-project", b"billing-project") in headers
        assert authorizer.status.expires_at is not None
    await authorizer.close()


async def test_googles_default_credentials_that_are_nowhere_are_a_clear_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: HandClock
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    authorizer = authorizer_for(provider("vertex", "google_default"), no_fetch, clock)
    with pytest.raises(CredentialUnavailable, match=r"default credentials failed: File .*missing\.json was not found"):
        await authorized(authorizer)
    await authorizer.close()


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def served(google: FakeGoogle) -> Serve:
    """The token endpoint on a socket, for a client that is not ours: one request for each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        status, _, body = google.exchange(await reader.readexactly(int(length.partition(b":")[2])))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return serve
