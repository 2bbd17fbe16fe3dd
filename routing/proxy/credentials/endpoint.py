"""One call of a token endpoint: sent by the caller's `Fetch`, its answer read up to a limit."""

import httpx

from routing.proxy.addresses import AddressRefused, check_literal
from routing.proxy.credentials.base import Fetch, RefreshFailed

MOST_BYTES = 256 * 1024
TIMEOUTS = {"connect": 5.0, "pool": 5.0, "write": 5.0, "read": 10.0}  # seconds


async def call(fetch: Fetch, request: httpx.Request) -> tuple[int, bytes]:
    """Status and body. Raises `RefreshFailed` for an answer that is too long, else what `fetch` raises."""
    response = await fetch(request)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in response.aiter_bytes():
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise RefreshFailed("the token endpoint's answer is too long")
    except httpx.DecodingError as error:
        raise RefreshFailed("the token endpoint's answer cannot be decoded") from error
    finally:
        await response.aclose()
    return response.status_code, b"".join(parts)


def request_to(url: str, *, headers: dict[str, str], body: bytes, allow_private: bool) -> httpx.Request:
    """A POST to a token endpoint. Raises `RefreshFailed` if `url` is no address, or one that is not allowed."""
    try:
        check_literal(url, allow_private)
        request = httpx.Request("POST", url, headers=headers, content=body, extensions={"timeout": TIMEOUTS})
    except (AddressRefused, httpx.InvalidURL) as error:
        raise RefreshFailed(f"the token endpoint's address: {error}") from error
    if request.url.scheme not in {"http", "https"}:
        raise RefreshFailed("the token endpoint's address: it does not begin with https://")
    return request


def header_text(value: object, name: str) -> str:
    """`value` if it is a text that a header can carry. Raises `RefreshFailed` otherwise, without showing it."""
    if not isinstance(value, str) or not value or any(ord(char) < 33 or ord(char) > 126 for char in value):
        raise RefreshFailed(f"the token endpoint's answer has no usable {name}")
    return value
