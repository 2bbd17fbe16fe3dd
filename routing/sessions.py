"""Where this process last sent each session, and how much of its prompt was in that target's cache. In memory, bounded.

It decides nothing: a session's target comes from its name alone, so that every process agrees. It only tells when a
session has been served by another target than before, and what that is likely to have cost.
"""

from collections import OrderedDict

import msgspec

from accounting.money.entry import Entry

MOST_SESSIONS = 20_000
SHORT_LIFE, LONG_LIFE = 300.0, 3600.0  # seconds that a prompt cache lives after its last use, by its kind


class _Last(msgspec.Struct):
    target: tuple[str, str]
    tokens: int
    life: float
    at: float


class Sessions:
    """What is known of the latest sessions. `now` is any monotonic clock in seconds, always the same one.

    A session is known by the name asked for and its sticky key: each model of a session has a cache of its own.
    """

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, str], _Last] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def answered(self, entry: Entry, key: str, target: tuple[str, str], now: float) -> None:
        """`target` answers a request. If it is not the one that served the session last, the record says so, with the
        number of cached tokens that were probably left behind: none if they have lived out their time."""
        last = self._known.get((entry.alias, key)) if key else None
        if last is not None and last.target != target:
            entry.switched_from = "/".join(last.target)
            entry.switch_tokens = last.tokens if now - last.at <= last.life else 0

    def ended(self, entry: Entry, key: str, target: tuple[str, str], now: float) -> None:
        """The answer has ended: keeps what it told of the cache. One that failed and told nothing is passed over."""
        read, brief, long = entry.tokens_cache_read, entry.tokens_cache_write_5m, entry.tokens_cache_write_1h
        cached = read + brief + long
        if not key or not (cached or entry.outcome == "served"):
            return
        place = (entry.alias, key)
        last = self._known.get(place)
        lasting = long > 0 or (last is not None and last.target == target and last.life == LONG_LIFE)
        life = LONG_LIFE if lasting else SHORT_LIFE
        if last is None:
            self._known[place] = _Last(target, cached, life, now)
        else:
            last.target, last.tokens, last.life, last.at = target, cached, life, now
            self._known.move_to_end(place)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
