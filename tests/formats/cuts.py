"""Feeds a stream whole, byte by byte and in random pieces: every reader has to give the same for all of them."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


def pieces(stream: bytes, cuts: list[int]) -> Iterator[bytes]:
    start = 0
    for end in sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)}):
        yield stream[start:end]
        start = end


def cuts_of(most: int = 4000) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, most), max_size=30)


def everywhere(stream: bytes) -> list[int]:
    return list(range(len(stream) + 1))


def fed(feed: Callable[[bytes], list[T]], stream: bytes, cuts: list[int]) -> list[T]:
    return [item for piece in pieces(stream, cuts) for item in feed(piece)]
