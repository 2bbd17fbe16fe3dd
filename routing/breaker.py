"""What is known of one target, and the rules of its breaker: when it opens, who may probe, when it closes. Time is passed in."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from routing.targets import BreakerState, ControlConf, RouteConf
from routing.vitals import BAD, GOOD, LIMITED, Vitals

LONGEST_REST = 60.0
REST = 5.0  # after a 429 that does not say how long
FORGET_TTFT = 120.0  # a target that has not been used for so long is unknown again, and gets another try
SMOOTHING = 0.2
LEAST_PROBE = 10.0  # seconds a probe has for itself, or the cooldown if that is longer; then another one is let through
MOMENT = 1.0  # seconds after which a place may be free again: a probe's, or one of a full target
LONGEST_WORDS = 500
DIED = "stream"  # the kind of a failure after the answer had begun

Change = Literal["open", "closed", "rest"]


@dataclass(slots=True)
class Entry:
    """One target's state. `open_until` is 0 for a closed breaker; one that is over it is half open.

    `streak` counts failures before an answer began, in a row; `deaths` answers that broke off, in a row. `permit_until`
    is how long this process may send the probe, where processes share their states. `probe_until` is how long a probe under
    way keeps others away: one that hangs must not keep a target out of use that has long recovered.
    """

    vitals: Vitals = field(default_factory=Vitals)
    failures: deque[float] = field(default_factory=deque)
    streak: int = 0
    deaths: int = 0
    since: float | None = None
    open_until: float = 0.0
    open_for: str = ""
    cooldown: float = 0.0
    by_death: bool = False
    probe_until: float = 0.0
    permit_until: float = 0.0
    rest_until: float = 0.0
    told_rest: float = 0.0
    in_flight: int = 0
    called_at: float = 0.0
    ttft: float | None = None
    ttft_at: float = 0.0
    words: str = ""
    words_at: float | None = None

    @property
    def idle(self) -> bool:
        return not self.in_flight and not self.open_until

    def good(self, ttft: float, now: float) -> None:
        """A good answer began."""
        known = self.ttft if now - self.ttft_at <= FORGET_TTFT else None
        self.ttft = ttft if known is None else known + SMOOTHING * (ttft - known)
        self.ttft_at = now
        self.streak = 0
        self.vitals.took(ttft)
        self.vitals.count(now, GOOD)

    def bad(self, kind: str | int, now: float, words: str) -> None:
        """A call failed."""
        self.words, self.words_at = words[:LONGEST_WORDS] or str(kind), now
        if kind == DIED:
            self.vitals.died(now)
        else:
            self.vitals.count(now, LIMITED if kind == 429 else BAD)

    def rest(self, retry_after: float | None, now: float) -> None:
        seconds = REST if retry_after is None else min(max(retry_after, 0.0), LONGEST_REST)
        self.rest_until = max(self.rest_until, now + seconds)

    def breaks(self, kind: str | int, now: float, route: RouteConf) -> bool:
        """Whether this failure opens a closed breaker: enough of them in the window, and in a row or half of all calls."""
        enough = route.breaker_failures
        self.failures.append(now)
        while self.failures and (len(self.failures) > enough or self.failures[0] < now - route.breaker_window):
            self.failures.popleft()
        if kind == DIED:
            self.deaths += 1
        else:
            self.streak += 1
        if len(self.failures) < enough:
            return False
        if self.streak >= enough or self.deaths >= enough:
            return True
        good, bad, _ = self.vitals.within(now, route.breaker_window)
        return bad >= max(good, enough)

    def open(self, seconds: float, why: str, now: float, *, cooldown: float, by_death: bool) -> None:
        if not self.open_until:
            self.since = now
        self.open_until, self.open_for, self.cooldown, self.by_death = now + seconds, why, cooldown, by_death
        self.permit_until = 0.0
        self._start_afresh()

    def close(self, now: float) -> None:
        if self.open_until:
            self.since = now
        self.open_until, self.open_for, self.permit_until = 0.0, "", 0.0
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.probe_until = 0.0
        self.failures.clear()
        self.streak = self.deaths = 0


def availability(entry: Entry, now: float, *, shared: bool) -> tuple[BreakerState, str, float]:
    """State, the reason against a call now or "", and when that ends."""
    if entry.open_until > now:
        reason = f"its breaker is open for {seconds(entry.open_until - now)} more (last failure: {entry.open_for})"
        return "open", reason, max(entry.open_until, entry.rest_until)
    state: BreakerState = "half_open" if entry.open_until else "closed"
    if entry.rest_until > now:
        return state, f"it asked for a rest of {seconds(entry.rest_until - now)} more", entry.rest_until
    if entry.probe_until > now:
        return state, "its breaker is half open, and a probe is under way", now + MOMENT
    if shared and state == "half_open" and entry.permit_until <= now:
        return state, "its breaker is half open, and another process is to send the probe", now + MOMENT
    return state, "", 0.0


def forbidden(control: ControlConf, until: float, now: float) -> str:
    """Why an administrator's order keeps requests away, or nothing. `until` is the end of its rest."""
    if control.drained:
        return "an administrator drains it: it gets no new requests"
    if until > now:
        return f"an administrator lets it rest for {seconds(until - now)} more"
    return ""


def seconds(span: float) -> str:
    return f"{max(span, 0.1):.1f} s"
