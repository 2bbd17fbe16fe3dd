"""The fault suite's fixtures: every transport, on both event loops, against a server of bare sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tests.transport.serving import Ask, Server


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop is what `manage.py serve` runs on, asyncio's own loop what `runserver` does."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}


@pytest.fixture(params=["lean", "aiohttp"])
def name(request: pytest.FixtureRequest) -> str:
    """The transport under test."""
    return str(request.param)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as running:
        yield running


@pytest.fixture
async def ask(server: Server, name: str) -> AsyncIterator[Ask]:
    """Sends requests to `server` through the transport under test."""
    async with Ask(name, server) as asking:
        yield asking
