"""Recognises the request that a client sends once more after its stream broke off: the same prompt, paid for twice.

Clients do so at once and mostly without streaming, so the bodies differ in a flag; the caller, the session, the name asked
for and the size tell it. Sources: behaviour of coding clients, 2026-11. What is remembered is bounded and short-lived.
"""

from collections import OrderedDict
from dataclasses import dataclass

from accounting.money.entry import Entry

WITHIN = 120.0  # seconds after the failure
MOST = 2_000  # failed streams that are remembered
SIZE_DIFFERENCE = 64  # bytes: the flag for streaming, a header that moved into the body

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class _Failed:
    request_id: str
    size: int
    at: float


class Resends:
    """One per process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._failed: OrderedDict[_Key, _Failed] = OrderedDict()

    def failed(self, entry: Entry, size: int, now: float) -> None:
        """A stream has broken off after it had begun; `size` are the bytes of its request."""
        if not entry.session_id:
            return
        key = _key(entry)
        self._failed[key] = _Failed(entry.request_id, size, now)
        self._failed.move_to_end(key)
        if len(self._failed) > MOST:
            self._failed.popitem(last=False)

    def match(self, entry: Entry, size: int, now: float) -> str:
        """The id of the request that this one repeats, or nothing. A failed stream is matched once."""
        if not self._failed or not entry.session_id:
            return ""
        key = _key(entry)
        known = self._failed.get(key)
        if known is None or abs(known.size - size) > SIZE_DIFFERENCE:
            return ""
        del self._failed[key]
        return known.request_id if now - known.at <= WITHIN else ""


def _key(entry: Entry) -> _Key:
    return entry.key_prefix, entry.session_id, entry.agent_id, entry.alias
