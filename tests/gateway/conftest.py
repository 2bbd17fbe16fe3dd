"""A running gateway before two fake providers: one shared by the tests that change nothing, others made to order."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import Expected, FakeProvider
from tests.harness import KEYS, SECOND_CREDENTIAL, Config, Gateway, Template, standard_config

OwnGateway = Callable[..., AbstractContextManager[tuple[Gateway, FakeProvider]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.server)


def make_provider() -> FakeProvider:
    return FakeProvider(expected=Expected(secrets=set(KEYS.values())))


@pytest.fixture(scope="session")
def first_provider() -> Iterator[FakeProvider]:
    with make_provider() as provider:
        yield provider


@pytest.fixture(scope="session")
def second_provider() -> Iterator[FakeProvider]:
    expected = Expected(credential=("authorization", f"Bearer {SECOND_CREDENTIAL}"), secrets=set(KEYS.values()))
    with FakeProvider(expected=expected) as provider:
        yield provider


@pytest.fixture(scope="session")
def shared_gateway(
    template: Template,
    first_provider: FakeProvider,
    second_provider: FakeProvider,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    config = standard_config(first_provider.url, second_provider.url)
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(template, folder, config, environment={"GATEWAY_PING_SECONDS": "1"}) as gateway:
        yield gateway


def _fresh(provider: FakeProvider) -> Iterator[FakeProvider]:
    provider.reset()
    yield provider
    assert provider.violations == []
    assert provider.unused_answers == 0


@pytest.fixture
def provider(first_provider: FakeProvider) -> Iterator[FakeProvider]:
    """The provider behind the shared gateway, with nothing scripted; at the end it must have nothing to complain of."""
    yield from _fresh(first_provider)


@pytest.fixture
def second(second_provider: FakeProvider) -> Iterator[FakeProvider]:
    """The second provider, which takes a bearer token."""
    yield from _fresh(second_provider)


@pytest.fixture
def gateway(shared_gateway: Gateway, provider: FakeProvider, second: FakeProvider) -> Gateway:
    """The shared gateway. Do not stop it and do not change its configuration."""
    return shared_gateway


@pytest.fixture
def own_gateway(template: Template, tmp_path: Path) -> OwnGateway:
    """Makes a gateway with its own provider: `with own_gateway() as (gateway, provider): ...`."""

    @contextmanager
    def make(
        config: Callable[[str], Config] = standard_config, **options: Any
    ) -> Iterator[tuple[Gateway, FakeProvider]]:
        with make_provider() as provider, Gateway(template, tmp_path, config(provider.url), **options) as gateway:
            yield gateway, provider
            assert provider.violations == []

    return make
