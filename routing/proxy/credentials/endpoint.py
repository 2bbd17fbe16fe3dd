"""One call of a token endpoint: sent by the caller's `Fetch`, its answer read up to a limit."""

import httpx

from routing.proxy.credentials.base import Fetch, RefreshFailed

MOST_BYTES = 256 * 1024


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


def request_to(url: str, *, headers: dict[str, str], body: bytes) -> httpx.Request:
    """A POST to a token endpoint. Raises `RefreshFailed` if `url` is no address."""
    try:
        request = httpx.Request("POST", url, headers=headers, content=body)
    except httpx.InvalidURL as error:
        raise RefreshFailed(f"the token endpoint's address is wrong: {error}") from error
    if request.url.scheme not in {"http", "https"} or not request.url.host:
        raise RefreshFailed("the token endpoint's address does not begin with https:// and a host")
    return request


def header_text(value: object, name: str) -> str:
    """`value` if it is a text that a header can carry. Raises `RefreshFailed` otherwise, without showing it."""
    if not isinstance(value, str) or not value or any(ord(char) < 33 or ord(char) > 126 for char in value):
        raise RefreshFailed(f"the token endpoint's answer has no usable {name}")
    return value
