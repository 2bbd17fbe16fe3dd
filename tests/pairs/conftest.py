"""A running gateway before an upstream of each format, all of them strict."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_google import FakeGoogle, key_file
from tests.fake_provider import Expected, FakeProvider
from tests.fake_provider.bedrock import Bedrock
from tests.fake_provider.vertex import Vertex
from tests.harness import KEYS, Gateway, Template
from tests.harness.formats import AWS_KEY_ID, AWS_SECRET, AWS_TOKEN, LOCATION, REGION, Addresses, formats_config
from tests.pairs.clients import MOUNTS, Sdk, amazon_client, sdk_for
from tests.pairs.services import token_service


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.server)


@dataclass(slots=True)
class Upstreams:
    """The three providers, by format: what they saw, what they are to answer."""

    providers: dict[str, FakeProvider]
    bedrock: Bedrock
    vertex: Vertex

    def __getitem__(self, format_: str) -> FakeProvider:
        return self.providers[format_]


@pytest.fixture(scope="session")
def running_upstreams() -> Iterator[tuple[Upstreams, FakeGoogle, str]]:
    secrets = set(KEYS.values())
    google = FakeGoogle(token_uri="")
    amazon = Bedrock(region=REGION, keys={AWS_KEY_ID: AWS_SECRET}, tokens={AWS_KEY_ID: AWS_TOKEN})
    vertex = Vertex(google=google, location=LOCATION)
    with (
        FakeProvider(expected=Expected(secrets=secrets)) as first,
        amazon.provider(secrets) as second,
        vertex.provider(secrets) as third,
        token_service(google) as tokens,
    ):
        providers = {ANTHROPIC: first, BEDROCK: second, VERTEX: third}
        yield Upstreams(providers, amazon, vertex), google, key_file(f"{tokens.url}/token")
        assert tokens.violations == []


@pytest.fixture(scope="session")
def running_gateway(
    template: Template,
    running_upstreams: tuple[Upstreams, FakeGoogle, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    upstreams, _, key_json = running_upstreams
    where = Addresses(
        upstreams[ANTHROPIC].url, upstreams[BEDROCK].url, upstreams[VERTEX].url, upstreams.vertex.project, key_json
    )
    config = formats_config(where)
    folder = tmp_path_factory.mktemp("pairs")
    with Gateway(template, folder, config, environment={"GATEWAY_PING_SECONDS": "1"}) as gateway:
        yield gateway


@pytest.fixture
def upstreams(running_upstreams: tuple[Upstreams, FakeGoogle, str]) -> Iterator[Upstreams]:
    """The three upstreams with nothing scripted; at the end none of them may have anything to complain of."""
    upstreams = running_upstreams[0]
    for provider in upstreams.providers.values():
        provider.reset()
    yield upstreams
    upstreams.bedrock.known_betas = None
    for format_, provider in upstreams.providers.items():
        assert provider.violations == [], format_
        assert provider.unused_answers == 0, format_


@pytest.fixture
def gateway(running_gateway: Gateway, upstreams: Upstreams) -> Gateway:
    """The gateway before the three upstreams. Do not stop it and do not change its configuration."""
    return running_gateway


@pytest.fixture(scope="session")
def sdks(running_gateway: Gateway) -> Iterator[dict[str, Sdk]]:
    """The vendor's Python clients of the three formats, without retries."""
    made = {format_: sdk_for(format_, running_gateway.url + mount) for format_, mount in MOUNTS.items()}
    yield made
    for sdk in made.values():
        sdk.close()


@pytest.fixture(scope="session")
def amazon_sdk(running_gateway: Gateway) -> Iterator[Any]:
    """boto3's client, without retries."""
    client = amazon_client(running_gateway.url + "/bedrock")
    yield client
    client.close()
