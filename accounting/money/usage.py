"""Token usage as upstreams report it: a small value that grows as a response passes. No I/O.

Source: wire formats of the Messages API, 2026-11; `message_delta` usage is cumulative and overrides field by field.

A report that cannot be true is read so that it does not cost too little: of two numbers the larger counts, a number that is
none is passed over, and one that is written as a text or with a decimal point counts, but not for less than an estimate.
`doubts` says what was wrong, a word each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

MOST_TOKENS = 10**8  # of one kind in one report; a larger number is a fault of the upstream
MOST_SEARCHES = 10**5
MOST_DIGITS = 18  # of a number that came as a text
MOST_ITERATIONS = 1_000
MOST_DOUBTS = 8
LONGEST_WORD = 40
LONGEST_MODEL = 300
CHARACTERS_PER_TOKEN = 4  # for what nobody has counted (the vendor's own rule of thumb, 2026-08)
SAID_MUCH = 400  # characters; an answer this long has not used nothing

MESSAGE, COMPACTION, ADVISOR, FALLBACK = "message", "compaction", "advisor", "fallback"
_KINDS = {"message": MESSAGE, "compaction": COMPACTION, "advisor_message": ADVISOR, "fallback_message": FALLBACK}


class Usage(msgspec.Struct):
    """Disjoint token counts of one upstream call, and what else its price depends on.

    `seen` says whether the upstream reported any usage at all, `input_known` and `output_known` whether it told these two;
    `doubtful` that something reported could not be believed. `service_tier`, `speed`, `geo` and `model` are the upstream's
    words, empty if it gave none. `iterations` are the model calls that it lists one by one.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    web_searches: int = 0
    web_fetches: int = 0
    service_tier: str = ""
    speed: str = ""
    geo: str = ""
    model: str = ""
    iterations: "tuple[Iteration, ...]" = ()
    seen: bool = False
    input_known: bool = False
    output_known: bool = False
    doubtful: bool = False
    doubts: list[str] = []

    @property
    def prompt(self) -> int:
        """All that the model was given, cached or not."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def doubt(self, word: str) -> None:
        """Notes that a report could not be believed."""
        self.doubtful = True
        if word not in self.doubts and len(self.doubts) < MOST_DOUBTS:
            self.doubts.append(word)

    def named(self, model: object) -> None:
        """Takes the model that the response names."""
        if isinstance(model, str) and model:
            self.model = model[:LONGEST_MODEL]

    def begun(self) -> None:
        """What was reported is the start of a stream: its output is only what was there by then."""
        self.output_known = False

    def update(self, reported: object) -> None:
        """Takes one `usage` object. Fields that are missing or null keep their value; unknown ones are passed over."""
        if not isinstance(reported, dict):
            if reported is not None:
                self.doubt("usage")
            return
        self.seen = True
        self._take_counts(reported)
        self._take_tools(reported.get("server_tool_use"))
        self.service_tier = self._word(reported, "service_tier", self.service_tier)
        self.speed = self._word(reported, "speed", self.speed)
        self.geo = self._word(reported, "inference_geo", self.geo)
        self._take_iterations(reported.get("iterations"))

    def complete(self, *, size: int, characters: int) -> None:
        """Fills in what the upstream did not tell: `size` bytes were sent to it, `characters` came back."""
        if not self.input_known:
            self.doubt("no_input")
            known = self.prompt - self.input
            self.input = max(self.input, estimated_tokens(size) - known)
        said = characters // CHARACTERS_PER_TOKEN
        silent = not self.output and (characters >= SAID_MUCH or not self.output_known)
        if silent or (not self.output_known and said > self.output):
            self.doubt("no_output")
            self.output = max(self.output, said)

    def _take_counts(self, reported: Mapping[str, Any]) -> None:
        given = self._count(reported, "input_tokens")
        read = self._count(reported, "cache_read_input_tokens")
        short, long = self._writes(reported)
        input_ = self.input if given is None else given
        read = self.cache_read if read is None else read
        self.input_known = self.input_known or (given is not None and _told(reported, "input_tokens"))
        if input_ + read + short + long < self.prompt:
            self.doubt("prompt_shrank")
        else:
            self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h = input_, read, short, long
        output = self._count(reported, "output_tokens")
        if output is not None:
            self.output_known = self.output_known or _told(reported, "output_tokens")
            self.output = self._larger(self.output, output, "output_shrank")
        details = reported.get("output_tokens_details")
        if isinstance(details, dict) and (thinking := self._count(details, "thinking_tokens")) is not None:
            self.output = self._larger(thinking, self.output, "thinking_exceeds_output")

    def _larger(self, before: int, value: int, word: str) -> int:
        if value < before:
            self.doubt(word)
            return before
        return value

    def _writes(self, reported: Mapping[str, Any]) -> tuple[int, int]:
        """Cache writes of 5 minutes and of 1 hour; what the split by lifetime leaves out counts as 5 minutes."""
        split = reported.get("cache_creation")
        short = long = None
        if isinstance(split, dict):
            short = self._count(split, "ephemeral_5m_input_tokens")
            long = self._count(split, "ephemeral_1h_input_tokens")
        elif split is not None:
            self.doubt("cache_creation")
        total = self._count(reported, "cache_creation_input_tokens")
        if short is None and long is None:
            if total is None:
                return self.cache_write_5m, self.cache_write_1h
            long = min(self.cache_write_1h, total)
            return total - long, long
        if long is None:
            long = self.cache_write_1h if total is None else max(0, total - (short or 0))
        if short is None:
            short = self.cache_write_5m if total is None else max(0, total - long)
        if total is not None and total < short + long:
            self.doubt("cache_split")
        return max(short, (total or 0) - long), long

    def _take_tools(self, tools: object) -> None:
        if not isinstance(tools, dict):
            if tools is not None:
                self.doubt("server_tool_use")
            return
        searches = self._count(tools, "web_search_requests", MOST_SEARCHES)
        if searches is not None:
            self.web_searches = self._larger(self.web_searches, searches, "searches_shrank")
        fetches = self._count(tools, "web_fetch_requests", MOST_SEARCHES)
        if fetches is not None:
            self.web_fetches = self._larger(self.web_fetches, fetches, "fetches_shrank")

    def _take_iterations(self, reported: object) -> None:
        if reported is None:
            return
        if not isinstance(reported, Sequence) or isinstance(reported, str) or len(reported) > MOST_ITERATIONS:
            self.doubt("iterations")
            return
        found = tuple(self._iteration(each) for each in reported if isinstance(each, dict))
        if len(found) < len(reported):
            self.doubt("iterations")
        if len(found) < len(self.iterations):
            self.doubt("iterations_shrank")
        else:
            self.iterations = found

    def _iteration(self, reported: Mapping[str, Any]) -> "Iteration":
        kind = reported.get("type")
        if not isinstance(kind, str) or kind not in _KINDS:
            self.doubt("iterations")
        usage = Usage()
        usage._take_counts(reported)
        usage.named(reported.get("model"))
        for word in usage.doubts:
            self.doubt(word)
        return Iteration(_KINDS.get(kind, COMPACTION) if isinstance(kind, str) else COMPACTION, usage)

    def _word(self, reported: Mapping[str, Any], name: str, before: str) -> str:
        value = reported.get(name)
        if value is None:
            return before
        if not isinstance(value, str):
            self.doubt(name)
            return before
        return value[:LONGEST_WORD]

    def _count(self, reported: Mapping[str, Any], name: str, most: int = MOST_TOKENS) -> int | None:
        value = reported.get(name)
        if value is None:
            return None
        if not _told(reported, name):
            self.doubt(name)
            value = _whole(value)
        if value is None or not 0 <= value <= most:
            self.doubt(name)
            return None
        return value


@dataclass(frozen=True, slots=True)
class Iteration:
    """One model call inside a request. A kind that is not known counts as one that the whole does not include."""

    kind: str
    usage: Usage


def _told(reported: Mapping[str, Any], name: str) -> bool:
    return type(reported.get(name)) is int


def _whole(value: object) -> int | None:
    """The whole number that a number of another type, or a text, stands for."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS:
        return int(value)
    return None


def estimated_tokens(size: int) -> int:
    """Tokens of `size` bytes or characters that nobody has counted."""
    return size // CHARACTERS_PER_TOKEN
