"""Token usage as upstreams report it: a small value that grows as a response passes. No I/O.

Source: wire formats of the Messages API; `message_delta` usage is cumulative and overrides field by field.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 10**12  # more than any call can have; a larger number is a fault of the upstream


@dataclass(slots=True)
class Usage:
    """Disjoint token counts of one upstream call. `seen` says whether the upstream reported any usage at all;
    `doubtful` whether a reported value could not be believed (negative, absurd, of the wrong type)."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    web_searches: int = 0
    seen: bool = False
    doubtful: bool = False

    def update(self, reported: object) -> None:
        """Takes one `usage` object. Fields that are missing or null keep their value; unknown ones are passed over."""
        if not isinstance(reported, Mapping):
            self.doubtful = self.doubtful or reported is not None
            return
        self.seen = True
        self.input = self._count(reported.get("input_tokens"), self.input)
        self.output = self._count(reported.get("output_tokens"), self.output)
        self.cache_read = self._count(reported.get("cache_read_input_tokens"), self.cache_read)
        self._update_writes(reported)
        tools = reported.get("server_tool_use")
        if isinstance(tools, Mapping):
            self.web_searches = self._count(tools.get("web_search_requests"), self.web_searches)

    def _update_writes(self, reported: Mapping[str, Any]) -> None:
        """Cache writes: the split by lifetime where it is given; what the split leaves out counts as 5 minutes."""
        split = reported.get("cache_creation")
        if isinstance(split, Mapping):
            self.cache_write_5m = self._count(split.get("ephemeral_5m_input_tokens"), self.cache_write_5m)
            self.cache_write_1h = self._count(split.get("ephemeral_1h_input_tokens"), self.cache_write_1h)
        known = self.cache_write_5m + self.cache_write_1h
        total = self._count(reported.get("cache_creation_input_tokens"), known)
        if total > known:
            self.cache_write_5m += total - known

    def _count(self, value: object, before: int) -> int:
        if value is None:
            return before
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
            self.doubtful = True
            return before
        return value
