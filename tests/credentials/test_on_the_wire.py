"""A signature still fits when the request has been through the transport: target, headers and body arrive as signed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import pytest

from routing.formats.base import Headers
from routing.proxy.credentials import authorizer_for
from routing.proxy.transports import tls_context, transport_named
from tests.credentials.clock import provider
from tests.credentials.requests import no_fetch
from tests.fake_aws import verify

KEYS = {"AKIDOWN": "own/secret+key"}
Request = tuple[bytes, Headers, bytes]


def listening(seen: list[Request]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A server that keeps requests as their bytes came, and answers 200 to each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).strip().split(b"\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        length = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
        seen.append((first.split(b" ")[1], headers, await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return serve


@pytest.mark.parametrize(
    "path",
    [
        "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke",
        "/model/us.anthropic.claude-haiku-4-5-20251001-v1:0/invoke",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fabc/invoke-with-response-stream",
        "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fabc/invoke",
        "/model/claude%405%5B1m%5D%20%E6%A8%A1/invoke",
    ],
)
@pytest.mark.parametrize("body", [b"{}", b"x" * 300_000])
@pytest.mark.parametrize("name", ["lean", "aiohttp"])
async def test_what_arrives_is_what_was_signed(path: str, body: bytes, name: str) -> None:
    seen: list[Request] = []
    server = await asyncio.start_server(listening(seen), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    plain = provider("bedrock", "aws", access_key_id="AKIDOWN", secret_access_key=KEYS["AKIDOWN"], session_token="t=")
    upstream = replace(plain, base_url=f"http://127.0.0.1:{port}/private", allow_private_addresses=True)
    authorizer = authorizer_for(upstream, no_fetch)
    transport = transport_named(name)(upstream, tls_context())
    url = httpx.URL(upstream.base_url + path)
    headers: Headers = [(b"content-type", b"application/json"), (b"x-amzn-bedrock-trace", b"ENABLED")]
    async with server:
        headers += await authorizer.authorize(method="POST", url=str(url), headers=headers, body=body)
        response = await transport.handle_async_request(httpx.Request("POST", url, headers=headers, content=body))
        await response.aclose()
        await transport.aclose()
    ((target, arrived, payload),) = seen
    assert target == b"/private" + path.encode()
    verify("POST", target, arrived, payload, KEYS, "us-east-1", "bedrock", tokens={"AKIDOWN": "t="})
