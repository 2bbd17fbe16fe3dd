"""How upstream targets are doing, as this process sees it: breakers, rests, calls in flight, time to the first byte.

One event loop calls it, so there are no locks. Time is passed in (seconds, any monotonic clock, always the same one).
A target is known by its provider's name and its model, whatever route leads to it.
"""

from collections import deque
from dataclasses import dataclass, field

from routing.targets import BreakerState, RouteConf, TargetConf, TargetHealth

MOST_TARGETS = 10_000
LONGEST_REST = 60.0
REST = 5.0  # after a 429 that does not say how long
FORGET_TTFT = 120.0  # a target that has not been used for so long is unknown again, and gets another try
SMOOTHING = 0.2


@dataclass(slots=True)
class _Entry:
    failures: deque[float] = field(default_factory=deque)
    open_until: float = 0.0
    open_for: str = ""
    probing: bool = False
    rest_until: float = 0.0
    in_flight: int = 0
    ttft: float | None = None
    ttft_at: float = 0.0

    @property
    def idle(self) -> bool:
        return not self.in_flight and not self.open_until


class Health:
    """The state of all targets. Each call: `started`, then `succeeded` or `failed` at most once, then `finished`."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def look(self, target: TargetConf, now: float) -> TargetHealth:
        """The target as it stands; asked again right before a call, it says whether the place is still free."""
        entry = self._entries.get(target.key)
        if entry is None:
            return TargetHealth()
        state, reason, until = _availability(entry, now)
        ttft = entry.ttft if now - entry.ttft_at <= FORGET_TTFT else None
        probe = state == "half_open" and not reason
        return TargetHealth(state, reason, until, probe, entry.in_flight, ttft)

    def started(self, target: TargetConf, now: float) -> None:
        """A call begins. Of a half-open breaker this is the probe: no other call is let through until it ends."""
        entry = self._entry(target)
        entry.in_flight += 1
        if entry.open_until and now >= entry.open_until:
            entry.probing = True

    def succeeded(self, target: TargetConf, ttft: float, now: float) -> None:
        """The first byte of a good answer came, `ttft` seconds after the call began. Closes the breaker."""
        entry = self._entry(target)
        known = entry.ttft if now - entry.ttft_at <= FORGET_TTFT else None
        entry.ttft = ttft if known is None else known + SMOOTHING * (ttft - known)
        entry.ttft_at = now
        entry.failures.clear()
        entry.open_until, entry.open_for, entry.probing = 0.0, "", False

    def failed(
        self, target: TargetConf, kind: str | int, now: float, *, route: RouteConf, retry_after: float | None = None
    ) -> None:
        """A call failed through the target's fault: `connect`, `timeout` or a status.

        A 429 lets the target rest and does not count towards its breaker; any other failure counts. `retry_after`
        (seconds, as the upstream asked) makes it rest too, at most for a minute.
        """
        entry = self._entry(target)
        if kind == 429 or retry_after is not None:
            rest = REST if retry_after is None else min(max(retry_after, 0.0), LONGEST_REST)
            entry.rest_until = max(entry.rest_until, now + rest)
        if kind == 429:
            entry.probing = False
            return
        entry.failures.append(now)
        while entry.failures and entry.failures[0] < now - route.breaker_window:
            entry.failures.popleft()
        half_open = bool(entry.open_until) and now >= entry.open_until
        if half_open or len(entry.failures) >= route.breaker_failures:
            entry.open_until, entry.open_for, entry.probing = now + route.cooldown, str(kind), False
            entry.failures.clear()

    def finished(self, target: TargetConf) -> None:
        """The call ended, however; a probe that neither succeeded nor failed frees its place with this."""
        entry = self._entries.get(target.key)
        if entry is not None and entry.in_flight:
            entry.in_flight -= 1
            entry.probing = False

    def _entry(self, target: TargetConf) -> _Entry:
        entry = self._entries.get(target.key)
        if entry is None:
            if len(self._entries) >= MOST_TARGETS:
                oldest = next((key for key, each in self._entries.items() if each.idle), next(iter(self._entries)))
                del self._entries[oldest]
            entry = self._entries[target.key] = _Entry()
        return entry


def _availability(entry: _Entry, now: float) -> tuple[BreakerState, str, float]:
    if entry.open_until > now:
        reason = f"its breaker is open for {_seconds(entry.open_until - now)} more (last failure: {entry.open_for})"
        return "open", reason, max(entry.open_until, entry.rest_until)
    state: BreakerState = "half_open" if entry.open_until else "closed"
    if entry.rest_until > now:
        return state, f"it asked for a rest of {_seconds(entry.rest_until - now)} more", entry.rest_until
    if entry.probing:
        return state, "its breaker is half open, and a probe is under way", now + 1.0
    return state, "", 0.0


def _seconds(span: float) -> str:
    return f"{max(span, 0.1):.1f} s"
