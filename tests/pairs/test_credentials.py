"""How upstreams are paid, on the wire: every kind of credential, tokens refused early, token services that fail."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.fake_aws import FakeSts
from tests.fake_google import FakeGoogle, key_file
from tests.fake_provider import FakeProvider
from tests.fake_provider.bedrock import Bedrock
from tests.fake_provider.vertex import Vertex
from tests.harness import KEYS, Gateway, Reply, Template, wait_until
from tests.harness.formats import (
    AWS_KEY_ID,
    AWS_SECRET,
    BEDROCK_BEARER,
    LOCATION,
    REGION,
    VERTEX_BEARER,
    bedrock_entry,
    own_config,
    vertex_entry,
)
from tests.pairs.clients import ask_plainly, plain
from tests.pairs.services import token_service

ROLE = "arn:aws:iam::123456789012:role/gateway"
ASK = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class House:
    """Accounts by the name of their provider, the token services behind them, and the gateway before them."""

    accounts: dict[str, Bedrock | Vertex]
    services: dict[str, Any]
    providers: dict[str, FakeProvider] = field(default_factory=dict)
    gateway: Gateway | None = None

    def ask(self, name: str, *, stream: bool = False) -> Reply:
        assert self.gateway is not None
        path, body = plain("anthropic", f"claude-of-{name}", ASK, stream=stream)
        return ask_plainly(self.gateway.port, path, body)

    def record(self, answer: Reply) -> Mapping[str, Any]:
        assert self.gateway is not None
        return self.gateway.record(answer.value("request-id"))

    def log(self) -> str:
        assert self.gateway is not None
        return self.gateway.errors.read_text()

    def carried(self, name: str) -> list[str]:
        """The authorization headers that arrived, in order."""
        return [request.value("authorization") for request in self.providers[name].received]


def sts() -> FakeSts:
    return FakeSts(callers={AWS_KEY_ID: AWS_SECRET}, region=REGION, external_id="of-this-house")


def of_role(service: FakeSts) -> Bedrock:
    return Bedrock(region=REGION, keys=service.secret_for, tokens=service.tokens)


def made() -> House:
    role, broken_role = sts(), sts()
    google, broken_google = FakeGoogle(token_uri=""), FakeGoogle(token_uri="")
    broken_role.failing, broken_google.failing = "AccessDenied", "invalid_grant"
    accounts: dict[str, Bedrock | Vertex] = {
        "plain-keys": Bedrock(region="eu-west-3", keys={AWS_KEY_ID: AWS_SECRET}),
        "bedrock-bearer": Bedrock(bearer=BEDROCK_BEARER, prefix="/below/a/path"),
        "chain": Bedrock(region=REGION, keys={"AKIAOFTHEMACHINE0001": "secret/of+the/machine"}),
        "role": of_role(role),
        "broken-role": of_role(broken_role),
        "vertex-bearer": Vertex(bearer=VERTEX_BEARER, location="global", prefix="/vertex"),
        "account": Vertex(google=google, location=LOCATION),
        "broken-account": Vertex(google=broken_google, location=LOCATION),
    }
    return House(accounts, {"role": role, "broken-role": broken_role, "account": google, "broken": broken_google})


def entries(house: House, addresses: Mapping[str, str]) -> list[dict[str, Any]]:
    """The providers of the configuration; `addresses` are those of the token services."""
    url = {name: provider.url for name, provider in house.providers.items()}
    project = Vertex().project
    own = {"kind": "aws", "access_key_id": AWS_KEY_ID, "secret_access_key": "${AWS_SECRET}"}
    taken = {**own, "role_arn": ROLE, "external_id": "of-this-house"}
    files = {name: f"${{KEY_FILE_{name.upper()}}}" for name in ("account", "broken")}
    service = {name: {"kind": "google_service_account", "json": text} for name, text in files.items()}
    roles = {name: {**taken, "sts_endpoint": addresses[name]} for name in ("role", "broken-role")}
    return [
        bedrock_entry("plain-keys", url["plain-keys"], region="eu-west-3", credential=own),
        bedrock_entry(
            "bedrock-bearer", url["bedrock-bearer"], credential={"kind": "bearer", "token": "${BEDROCK_BEARER}"}
        ),
        bedrock_entry("chain", url["chain"], credential={"kind": "aws_default"}),
        bedrock_entry("role", url["role"], credential=roles["role"]),
        bedrock_entry("broken-role", url["broken-role"], credential=roles["broken-role"]),
        vertex_entry(
            "vertex-bearer",
            url["vertex-bearer"] + "/v1",  # a base address may end in the version
            project,
            region="global",
            credential={"kind": "bearer", "token": "${VERTEX_BEARER}"},
        ),
        vertex_entry("account", url["account"], project, credential=service["account"]),
        vertex_entry("broken-account", url["broken-account"], project, credential=service["broken"]),
    ]


@pytest.fixture(scope="module")
def running(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = made()
    environment = {"AWS_ACCESS_KEY_ID": "AKIAOFTHEMACHINE0001", "AWS_SECRET_ACCESS_KEY": "secret/of+the/machine"}
    with ExitStack() as stack:
        for name, account in house.accounts.items():
            house.providers[name] = stack.enter_context(account.provider(KEYS.values()))
        running = {name: stack.enter_context(token_service(each)) for name, each in house.services.items()}
        config = own_config(entries(house, {name: each.url for name, each in running.items()}))
        for name in ("account", "broken"):
            config.environment[f"KEY_FILE_{name.upper()}"] = key_file(f"{running[name].url}/token")
        folder = tmp_path_factory.mktemp("credentials")
        house.gateway = stack.enter_context(Gateway(template, folder, config, environment=environment))
        yield house
        assert [text for each in running.values() for text in each.violations] == []


@pytest.fixture
def house(running: House) -> Iterator[House]:
    for provider in running.providers.values():
        provider.reset()
    yield running
    for name, provider in running.providers.items():
        assert provider.violations == [], name


@pytest.mark.parametrize("name", ["plain-keys", "bedrock-bearer", "chain", "role", "vertex-bearer", "account"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_kind_of_credential(name: str, stream: bool, house: House) -> None:
    for _ in range(3):
        answer = house.ask(name, stream=stream)
        assert answer.status == 200, answer.body
    assert len(house.providers[name].received) == 3


def test_tokens_are_fetched_once_for_many_requests(house: House) -> None:
    for name in ("role", "account"):
        house.ask(name)
    forms, calls = len(house.services["role"].forms), house.services["account"].calls
    for _ in range(5):
        house.ask("role")
        house.ask("account")
    assert (len(house.services["role"].forms), house.services["account"].calls) == (forms, calls)
    assert house.services["role"].forms[0]["RoleArn"] == ROLE
    assert house.services["role"].forms[0]["ExternalId"] == "of-this-house"


def test_a_google_token_refused_early_is_fetched_anew_once(house: House) -> None:
    assert house.ask("account").status == 200
    account = house.accounts["account"]
    assert isinstance(account, Vertex)
    account.revoke()
    answer = house.ask("account")
    assert answer.status == 200, answer.body
    first, refused, anew = house.carried("account")
    assert first == refused != anew
    assert house.record(answer)["outcome"] == "served"
    assert "token refused before its time" in house.log()


def test_expired_keys_of_a_role_are_fetched_anew_once(house: House) -> None:
    assert house.ask("role").status == 200
    account = house.accounts["role"]
    assert isinstance(account, Bedrock)
    account.expired |= set(house.services["role"].secret_for)
    answer = house.ask("role")
    assert answer.status == 200, answer.body
    first, refused, anew = (text.partition("Credential=")[2].partition("/")[0] for text in house.carried("role"))
    assert first == refused != anew


@pytest.mark.parametrize(
    ("name", "words"), [("broken-role", "AssumeRole answered 403 AccessDenied"), ("broken-account", "invalid_grant")]
)
def test_a_token_service_that_fails_is_told_to_the_log_and_not_to_the_client(
    name: str, words: str, house: House
) -> None:
    answer = house.ask(name)
    assert answer.status >= 500
    assert answer.json["error"]["type"] == "api_error"
    for secret in (AWS_SECRET, ROLE, "123456789012", "iam.gserviceaccount.com", words):
        assert secret not in answer.body.decode()
    record = house.record(answer)
    assert record["outcome"] == "upstream_error"
    assert "credential" in record["attempts"][0]["error"]
    assert house.providers[name].received == []
    log = house.log()
    lines = [line for line in log.splitlines() if "credential refresh failed" in line and f'"{name}"' in line]
    assert lines
    assert words in lines[0]
    assert '"error"' in lines[0]
    assert AWS_SECRET not in log
    assert "PRIVATE KEY" not in log
    # The console reads how it went from the database, whichever process it was.
    gateway = house.gateway
    assert gateway is not None
    asked = f"from routing.models import CredentialRefresh as R; print(R.objects.get(provider__name={name!r}))"
    wait_until(lambda: words in gateway.manage("shell", "-v", "0", "-c", asked), what="the row of the refresh")


def test_no_secret_stands_in_the_log(house: House) -> None:
    log = house.log()
    for secret in (AWS_SECRET, BEDROCK_BEARER, VERTEX_BEARER, *KEYS.values(), "secret/of+ASIAROLE1", "ya29.1"):
        assert secret not in log
