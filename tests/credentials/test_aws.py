"""AWS credentials, from the values in the configuration to signatures that AWS takes."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from routing.formats.base import Headers
from routing.proxy.credentials import Authorizer, CredentialUnavailable, authorizer_for
from tests.credentials.clock import HandClock, provider
from tests.credentials.requests import BODY, PATH, authorized, no_fetch, refreshed
from tests.fake_aws import FakeSts, verify

OWN = {"AKIDOWN": "own/secret+key"}
ROLE = "arn:aws:iam::123456789012:role/caller"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def check(headers: Headers, clock: HandClock, secrets: dict[str, str], **tokens: str) -> None:
    verify("POST", PATH.encode(), headers, BODY, secrets, "us-east-1", "bedrock", tokens=tokens, now=clock.now())


def aws(**more: str) -> dict[str, str]:
    return {"access_key_id": "AKIDOWN", "secret_access_key": OWN["AKIDOWN"]} | more


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


@pytest.mark.parametrize(
    "endpoint", ["sts.example", "ftp://sts.example", "http://", "http://[::1", "http://169.254.169.254"]
)
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
