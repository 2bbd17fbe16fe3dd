"""Content-encodings of request bodies: what is decoded, what is refused, and that nothing is dropped."""

import functools
import gzip
import zlib

import pytest
import zstandard

from routing.proxy.bodies import Body
from routing.proxy.errors import GatewayError

BODY = b'{"model":"claude","messages":[]}'
LIMIT = 1000
packed = functools.partial(gzip.compress, mtime=0)  # the time of day must not be part of a test's name


async def read(body: bytes, coding: bytes, limit: int = LIMIT) -> bytes:
    messages: list[dict[str, object]] = [
        {"type": "http.request", "body": body[:7], "more_body": True},
        {"type": "http.request", "body": body[7:]},
    ]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    return await Body(receive, [(b"content-encoding", coding)], limit).read()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", packed(BODY)),
        (b"GZIP", packed(BODY)),
        (b"gzip", packed(BODY[:5]) + packed(BODY[5:])),
        (b"deflate", zlib.compress(BODY)),
        (b"zstd", zstandard.compress(BODY)),
        (b"identity", BODY),
        (b"", BODY),
    ],
)
async def test_coded_bodies_are_decoded_whole(coding: bytes, body: bytes) -> None:
    assert await read(body, coding) == BODY


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        (b"gzip", BODY, 400),
        (b"gzip", packed(BODY)[:-3], 400),
        (b"gzip", packed(BODY) + b"rest", 400),
        (b"zstd", BODY, 400),
        (b"zstd", zstandard.compress(BODY)[:-3], 400),
        (b"br", BODY, 400),
        (b"gzip", packed(b"x" * (LIMIT + 1)), 413),
        (b"gzip", packed(b"x" * LIMIT) + packed(b"x"), 413),
        (b"zstd", zstandard.compress(b"x" * (LIMIT + 1)), 413),
        (b"", b"x" * (LIMIT + 1), 413),
    ],
)
async def test_what_cannot_be_decoded_within_the_limit_is_refused(coding: bytes, body: bytes, status: int) -> None:
    with pytest.raises(GatewayError) as refused:
        await read(body, coding)
    assert refused.value.status == status


async def test_a_bomb_is_refused_without_being_unpacked() -> None:
    bomb = packed(b"\0" * 200_000_000, compresslevel=1)
    with pytest.raises(GatewayError) as refused:
        await read(bomb, b"gzip", limit=10_000_000)
    assert refused.value.status == 413
