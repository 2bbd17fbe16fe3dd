"""What the tests of all kinds do with an authorizer."""

import asyncio

import httpx

from routing.formats.base import Headers
from routing.proxy.credentials import Authorizer
from tests.credentials.clock import HandClock

BODY = b'{"anthropic_version":"bedrock-2023-05-31","messages":[]}'
PATH = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke"


async def no_fetch(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"nothing should be fetched, {request.url} least of all")


async def authorized(authorizer: Authorizer, body: bytes = BODY) -> Headers:
    headers: Headers = [(b"content-type", b"application/json")]
    url = f"https://upstream.example{PATH}"
    added = await authorizer.authorize(method="POST", url=url, headers=headers, body=body)
    return [(b"host", b"upstream.example"), *headers, *added]


async def refreshed(authorizer: Authorizer, clock: HandClock) -> None:
    """A refresh that runs beside the requests, partly in a thread, has ended at the present time."""
    async with asyncio.timeout(10):
        while authorizer.status.at is None or authorizer.status.at.timestamp() < clock.now():  # noqa: ASYNC110
            await asyncio.sleep(0)
