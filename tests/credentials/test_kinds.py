"""Every kind of credential, from the values in the configuration to headers that its provider takes."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from routing.conf import CREDENTIAL_KINDS
from routing.formats.base import Headers
from routing.proxy.credentials import Authorizer, CredentialUnavailable, authorizer_for, token_refused
from routing.proxy.credentials.base import without_secrets
from tests.credentials.clock import HandClock, provider
from tests.fake_aws import FakeSts, verify
from tests.fake_google import FakeGoogle, Refused, key_file

BODY = b'{"anthropic_version":"bedrock-2023-05-31","messages":[]}'
PATH = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke"
OWN = {"AKIDOWN": "own/secret+key"}
ROLE = "arn:aws:iam::123456789012:role/caller"
TOKEN_URI = "https://token.example/oauth/token"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


async def no_fetch(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"nothing should be fetched, {request.url} least of all")


async def authorized(authorizer: Authorizer, body: bytes = BODY) -> Headers:
    headers: Headers = [(b"content-type", b"application/json")]
    url = f"https://upstream.example{PATH}"
    added = await authorizer.authorize(method="POST", url=url, headers=headers, body=body)
    return [(b"host", b"upstream.example"), *headers, *added]


def check(headers: Headers, clock: HandClock, secrets: dict[str, str], **tokens: str) -> None:
    verify("POST", PATH.encode(), headers, BODY, secrets, "us-east-1", "bedrock", tokens=tokens, now=clock.now())


def aws(**more: str) -> dict[str, str]:
    return {"access_key_id": "AKIDOWN", "secret_access_key": OWN["AKIDOWN"]} | more


def test_every_configurable_kind_has_an_authorizer() -> None:
    samples = {"access_key_id": "AKID", "json": key_file(TOKEN_URI)}
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


async def test_aws_keys_sign_without_any_call(clock: HandClock) -> None:
    authorizer = authorizer_for(provider("bedrock", "aws", **aws()), no_fetch, clock)
    assert authorizer.static_headers is None
    headers = await authorized(authorizer)
    check(headers, clock, OWN)
    authorizer.expire(headers)
    check(await authorized(authorizer), clock, OWN)


async def test_a_session_token_goes_with_its_keys(clock: HandClock) -> None:
    authorizer = authorizer_for(provider("bedrock", "aws", **aws(session_token="a/b+c==")), no_fetch, clock)
    check(await authorized(authorizer), clock, OWN, AKIDOWN="a/b+c==")


async def test_a_very_large_body_is_signed_too(clock: HandClock) -> None:
    body = b"x" * (3 * 1024 * 1024)
    authorizer = authorizer_for(provider("bedrock", "aws", **aws()), no_fetch, clock)
    headers = await authorized(authorizer, body)
    verify("POST", PATH.encode(), headers, body, OWN, "us-east-1", "bedrock", now=clock.now())


def role(sts: FakeSts, clock: HandClock, **more: str) -> Authorizer:
    values = aws(role_arn=ROLE, sts_endpoint="https://sts.example/private/") | more
    return authorizer_for(provider("bedrock", "aws", **values), sts.fetch, clock)


async def test_a_role_is_assumed_once_and_its_keys_sign(clock: HandClock) -> None:
    sts = FakeSts(OWN, "us-east-1", external_id="tenant 7", now=clock.now)
    authorizer = role(sts, clock, external_id="tenant 7")
    signed = await asyncio.gather(*(authorized(authorizer) for _ in range(20)))
    for headers in signed:
        check(headers, clock, sts.secret_for, **sts.tokens)
    assert len(sts.forms) == 1
    assert sts.forms[0]["RoleArn"] == ROLE
    assert sts.forms[0]["RoleSessionName"] == "gateway-up"
    await authorizer.close()


async def test_temporary_keys_are_renewed_ahead_of_their_end(clock: HandClock) -> None:
    sts = FakeSts(OWN, "us-east-1", now=clock.now)
    authorizer = role(sts, clock)
    await authorized(authorizer)
    clock.sleep(3000)
    check(await authorized(authorizer), clock, sts.secret_for, **sts.tokens)
    await refreshed(authorizer, clock)
    assert b"ASIAROLE2/" in dict(await authorized(authorizer))[b"authorization"]
    await authorizer.close()


async def test_temporary_keys_that_were_refused_are_fetched_anew_and_others_kept(clock: HandClock) -> None:
    sts = FakeSts(OWN, "us-east-1", now=clock.now)
    authorizer = role(sts, clock)
    first = await authorized(authorizer)
    authorizer.expire(first)
    second = await authorized(authorizer)
    check(second, clock, sts.secret_for, **sts.tokens)
    clock.sleep(10)
    authorizer.expire(first)
    await authorized(authorizer)
    assert len(sts.forms) == 2
    await authorizer.close()


async def test_a_role_that_may_not_be_assumed_is_told_without_secrets(clock: HandClock) -> None:
    sts = FakeSts(OWN, "us-east-1", failing="AccessDenied", now=clock.now)
    authorizer = role(sts, clock)
    with pytest.raises(CredentialUnavailable, match="AssumeRole answered 403 AccessDenied: not for") as caught:
        await authorized(authorizer)
    assert OWN["AKIDOWN"] not in str(caught.value)
    assert authorizer.status.error == caught.value.reason
    await authorizer.close()


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "sts.eu-west-1.amazonaws.com"), ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn")],
)
async def test_roles_are_assumed_in_the_providers_region(clock: HandClock, region: str, host: str) -> None:
    sts = FakeSts(OWN, region, now=clock.now)
    hosts = []

    async def fetch(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return await sts.fetch(request)

    values = aws(role_arn=ROLE)
    authorizer = authorizer_for(provider("bedrock", "aws", region, **values), fetch, clock)
    await authorized(authorizer)
    assert hosts == [host]
    await authorizer.close()


ANSWERS = [
    (b"", "not XML"),
    (b"<html>", "not XML"),
    (b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]><x>&a;</x>", "document type"),
    (b"<AssumeRoleResponse/>", "no usable AccessKeyId"),
    (b"x" * 300_000, "too long"),
]


@pytest.mark.parametrize(("body", "words"), ANSWERS)
async def test_a_broken_answer_of_sts_is_a_clear_failure(clock: HandClock, body: bytes, words: str) -> None:
    async def fetch(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body)

    authorizer = authorizer_for(provider("bedrock", "aws", **aws(role_arn=ROLE)), fetch, clock)
    with pytest.raises(CredentialUnavailable, match=words):
        await authorized(authorizer)
    await authorizer.close()


@pytest.mark.parametrize("endpoint", ["sts.example", "ftp://sts.example", "http://", "http://[::1"])
async def test_a_wrong_sts_endpoint_is_a_clear_failure(clock: HandClock, endpoint: str) -> None:
    values = aws(role_arn=ROLE, sts_endpoint=endpoint)
    authorizer = authorizer_for(provider("bedrock", "aws", **values), no_fetch, clock)
    with pytest.raises(CredentialUnavailable, match="the token endpoint's address"):
        await authorized(authorizer)
    await authorizer.close()


@pytest.fixture
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine on which the chain finds nothing but what a test puts there."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return monkeypatch


async def test_the_aws_chain_reads_the_environment(aws_environment: pytest.MonkeyPatch, clock: HandClock) -> None:
    aws_environment.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    authorizer = authorizer_for(provider("bedrock", "aws_default"), no_fetch, clock)
    check(await authorized(authorizer), clock, {"AKIDENV": "env-secret"})
    assert authorizer.status.ok is True
    await authorizer.close()


async def test_the_aws_chain_sees_a_rotated_profile_after_a_refusal(
    aws_environment: pytest.MonkeyPatch, tmp_path: Path, clock: HandClock
) -> None:
    def write(key: str) -> None:
        text = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = s\naws_session_token = t\n"
        (tmp_path / "credentials").write_text(text)

    write("AKIDONE")
    authorizer = authorizer_for(provider("bedrock", "aws_default"), no_fetch, clock)
    headers = await authorized(authorizer)
    check(headers, clock, {"AKIDONE": "s"}, AKIDONE="t")
    write("AKIDTWO")
    authorizer.expire(headers)
    check(await authorized(authorizer), clock, {"AKIDTWO": "s"}, AKIDTWO="t")
    await authorizer.close()


async def test_keys_of_a_container_are_renewed_by_their_expiration(
    aws_environment: pytest.MonkeyPatch, tmp_path: Path, clock: HandClock
) -> None:
    """A process that prints keys stands for every source whose keys expire."""
    answer = {"Version": 1, "AccessKeyId": "AKIDP", "SecretAccessKey": "s", "SessionToken": "t"}
    (tmp_path / "keys.json").write_text(json.dumps(answer | {"Expiration": "2126-11-18T12:00:00Z"}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'keys.json'}\n")
    authorizer = authorizer_for(provider("bedrock", "aws_default"), no_fetch, clock)
    check(await authorized(authorizer), clock, {"AKIDP": "s"}, AKIDP="t")
    assert authorizer.status.expires_at is not None
    assert authorizer.status.expires_at.isoformat() == "2126-11-18T12:00:00+00:00"
    await authorizer.close()


async def test_a_role_can_be_taken_with_the_chains_keys(aws_environment: pytest.MonkeyPatch, clock: HandClock) -> None:
    aws_environment.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    aws_environment.setenv("AWS_SESSION_TOKEN", "env-token")
    sts = FakeSts({"AKIDENV": "env-secret"}, "us-east-1", {"AKIDENV": "env-token"}, now=clock.now)
    authorizer = authorizer_for(provider("bedrock", "aws_default", role_arn=ROLE), sts.fetch, clock)
    check(await authorized(authorizer), clock, sts.secret_for, **sts.tokens)
    await authorizer.close()


async def test_an_empty_aws_chain_is_a_clear_failure(aws_environment: pytest.MonkeyPatch, clock: HandClock) -> None:
    authorizer = authorizer_for(provider("bedrock", "aws_default"), no_fetch, clock)
    with pytest.raises(CredentialUnavailable, match="the standard AWS chain found no credentials"):
        await authorized(authorizer)
    aws_environment.setenv("AWS_PROFILE", "missing")
    clock.advance(2)
    await refreshed(authorizer, clock)
    assert "The config profile (missing) could not be found" in authorizer.status.error
    await authorizer.close()


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


async def refreshed(authorizer: Authorizer, clock: HandClock) -> None:
    """A refresh that runs beside the requests, partly in a thread, has ended at the present time."""
    async with asyncio.timeout(10):
        while authorizer.status.at is None or authorizer.status.at.timestamp() < clock.now():  # noqa: ASYNC110
            await asyncio.sleep(0)


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
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
