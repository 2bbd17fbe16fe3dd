"""How upstream targets are doing, as this process sees it: breakers, rests, orders, calls in flight, figures.

One event loop calls it, so there are no locks; only `report` may be called from another thread. Time is passed in
(seconds, any monotonic clock, always the same one). A target is known by its provider's name and its model, whatever
route leads to it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from routing.breaker import DIED, FORGET_TTFT, LEAST_PROBE, MOMENT, Change, Entry, availability, forbidden
from routing.retry_budget import RetryBudget
from routing.targets import BreakerState, ControlConf, RouteConf, TargetConf, TargetHealth
from routing.vitals import thinned

MOST_TARGETS = 10_000
MOST_REPORTED = 500
LONG = 30.0  # after how many seconds a client may ask again for what has no end in sight
QUANTILES = 64  # times to the first byte that a report carries, so that several processes' can be put together

Key = tuple[str, str]
_UNKNOWN = TargetHealth()


@dataclass(frozen=True, slots=True)
class News:
    """A change of one target's state that other processes want to know. `seconds` is how long an opening or rest lasts."""

    provider: str
    model: str
    change: Change
    seconds: float = 0.0
    why: str = ""
    cooldown: float = 0.0
    by_death: bool = False

    @property
    def key(self) -> Key:
        return (self.provider, self.model)


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One target for people. Moments are on the clock that `Health` is given, spans in seconds.

    `until` is when an open breaker or a rest ends; `good`, `bad` and `limited` (429) count the calls of the last minute;
    `times` are some of the last times to the first byte, ordered; `words` the last failure, as the upstream put it.
    """

    provider: str
    model: str
    state: BreakerState
    resting: bool
    since: float | None
    until: float | None
    why: str
    good: int
    bad: int
    limited: int
    in_flight: int
    times: tuple[float, ...]
    words: str
    words_at: float | None


class Health:
    """The state of all targets. Each call: `started`, then `succeeded` or `failed`, then `finished`.

    `tell` is given each change of state that began here. While `shared`, a half-open breaker lets a probe through only
    by `permit`. `retries` bounds what all requests of the process may call again.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._opened: set[Key] = set()
        self._orders: dict[Key, tuple[ControlConf, float]] = {}
        self._reopened: dict[Key, datetime] = {}
        self.tell: Callable[[News], None] | None = None
        self.shared = False
        self.retries = RetryBudget()

    def __len__(self) -> int:
        return len(self._entries)

    # What every request asks and tells

    def look(self, target: TargetConf, now: float) -> TargetHealth:
        """The target as it stands; asked again right before a call, it says whether the place is still free."""
        entry = self._entries.get(target.key)
        if self._orders and (order := self._orders.get(target.key)) and (reason := forbidden(*order, now)):
            until = now + LONG if order[0].drained else order[1]
            state: BreakerState = availability(entry, now, shared=self.shared)[0] if entry else "closed"
            return TargetHealth(state, reason, until, False, entry.in_flight if entry else 0, barred=True)
        if entry is None:
            return _UNKNOWN
        state, reason, until = availability(entry, now, shared=self.shared)
        ttft = entry.ttft if now - entry.ttft_at <= FORGET_TTFT else None
        if not reason and target.max_concurrent and entry.in_flight >= target.max_concurrent:
            reason = f"it is full: {entry.in_flight} calls are under way, of at most {target.max_concurrent}"
            return TargetHealth(state, reason, now + MOMENT, False, entry.in_flight, ttft, barred=True)
        probe = state == "half_open" and not reason
        return TargetHealth(state, reason, until, probe, entry.in_flight, ttft)

    def started(self, target: TargetConf, now: float) -> bool:
        """A call begins. True if it is the probe of a half-open breaker: no other call is let through until it ends."""
        entry = self._entry(target.key)
        entry.in_flight += 1
        entry.called_at = now
        if not entry.open_until or availability(entry, now, shared=self.shared)[1]:
            return False
        entry.probe_until = now + max(LEAST_PROBE, entry.cooldown)
        return True

    def succeeded(self, target: TargetConf, ttft: float, now: float, *, probe: bool = False) -> None:
        """The first byte of a good answer came, `ttft` seconds after the call began. A probe closes the breaker with it,
        unless the breaker opened because answers broke off: then the answer's end does."""
        entry = self._entry(target.key)
        entry.good(ttft, now)
        if probe and not entry.by_death:
            self._close(target.key, entry, now)

    def failed(
        self,
        target: TargetConf,
        kind: str | int,
        now: float,
        *,
        route: RouteConf,
        retry_after: float | None = None,
        probe: bool = False,
        words: str = "",
    ) -> None:
        """A call failed through the target's fault: `connect`, `timeout`, `stream` (it broke off) or a status.

        A 429 lets the target rest and does not count towards its breaker; any other failure counts. `retry_after`
        (seconds, as the upstream asked) makes it rest too, at most for a minute. `words` are the upstream's, fit to be
        seen. While the breaker is open, only the probe's failure changes it: what began before is old news.
        """
        entry = self._entry(target.key)
        entry.bad(kind, now, words)
        if kind == 429 or retry_after is not None:
            entry.rest(retry_after, now)
            self._tell_rest(target.key, entry, now)
        if kind == 429:
            entry.probe_until = 0.0 if probe else entry.probe_until
        elif entry.open_until:
            if probe:
                self._open(target.key, entry, kind, now, route)
        elif entry.breaks(kind, now, route):
            self._open(target.key, entry, kind, now, route)

    def finished(self, target: TargetConf, now: float = 0.0, *, probe: bool = False, good: bool = False) -> None:
        """The call ended, however; `good` if its answer came to its proper end. A probe frees its place with this."""
        entry = self._entries.get(target.key)
        if entry is None or not entry.in_flight:
            return
        entry.in_flight -= 1
        if good:
            entry.deaths = 0
        if not probe:
            return
        entry.probe_until = 0.0
        if good and entry.open_until:
            self._close(target.key, entry, now)

    def _open(self, key: Key, entry: Entry, kind: str | int, now: float, route: RouteConf) -> None:
        by_death = kind == DIED
        entry.open(route.cooldown, str(kind), now, cooldown=route.cooldown, by_death=by_death)
        self._opened.add(key)
        if self.tell is not None:
            self.tell(News(*key, "open", route.cooldown, str(kind), route.cooldown, by_death))

    def _close(self, key: Key, entry: Entry, now: float) -> None:
        was_open = bool(entry.open_until)
        entry.close(now)
        self._opened.discard(key)
        if was_open and self.tell is not None:
            self.tell(News(*key, "closed"))

    def _tell_rest(self, key: Key, entry: Entry, now: float) -> None:
        """Not each of a hundred 429s in one second is news."""
        if self.tell is not None and entry.rest_until > max(now, entry.told_rest + 0.5):
            entry.told_rest = entry.rest_until
            self.tell(News(*key, "rest", entry.rest_until - now))

    def _entry(self, key: Key) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= MOST_TARGETS:
                oldest = next((name for name, each in self._entries.items() if each.idle), next(iter(self._entries)))
                del self._entries[oldest]
                self._opened.discard(oldest)
            entry = self._entries[key] = Entry()
        return entry

    def called_at(self, target: TargetConf) -> float:
        """When this process called the target last; 0 for never."""
        entry = self._entries.get(target.key)
        return entry.called_at if entry is not None else 0.0

    # What administrators order

    def obey(self, controls: Mapping[Key, ControlConf], now: float, wall: datetime) -> None:
        """Takes the orders of a new picture of the configuration; `wall` is the time of day at `now`."""
        orders = {}
        for key, control in controls.items():
            rests = (control.rest_until - wall).total_seconds() if control.rest_until else 0.0
            if control.drained or rests > 0:
                orders[key] = (control, now + rests)
            reopened = control.reopened_at
            if reopened is not None and self._reopened.get(key) != reopened:
                self._reopened[key] = reopened
                if abs((wall - reopened).total_seconds()) < LONG:  # older ones were obeyed, or are before this process
                    self._reopen(key, now)
        self._reopened = {key: at for key, at in self._reopened.items() if key in controls}
        self._orders = orders

    def _reopen(self, key: Key, now: float) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.rest_until = 0.0
            self._close(key, entry, now)

    # What other processes know

    def hear(self, news: News, now: float) -> None:
        """Takes another process's change of state for this one's."""
        entry = self._entry(news.key)
        if news.change == "rest":
            entry.rest_until = entry.told_rest = max(entry.rest_until, now + news.seconds)
        elif news.change == "open":
            entry.open(news.seconds, news.why, now, cooldown=news.cooldown, by_death=news.by_death)
            self._opened.add(news.key)
        else:
            entry.close(now)
            self._opened.discard(news.key)

    def current(self, now: float) -> list[News]:
        """Open breakers and rests as news, for those who have heard nothing yet."""
        found = []
        for key, entry in self._entries.items():
            if entry.open_until:
                left = entry.open_until - now
                found.append(News(*key, "open", left, entry.open_for, entry.cooldown, entry.by_death))
            if entry.rest_until > now:
                found.append(News(*key, "rest", entry.rest_until - now))
        return found

    @property
    def all_closed(self) -> bool:
        return not self._opened

    def due(self, now: float, lead: float) -> dict[Key, tuple[float, bool]]:
        """The open breakers that may be probed within `lead` seconds: their cooldown, and whether the probe is on its way."""
        entries = ((key, self._entries[key]) for key in self._opened)
        return {
            key: (entry.cooldown, entry.probe_until > now) for key, entry in entries if entry.open_until - now <= lead
        }

    def permit(self, key: Key, until: float) -> None:
        """This process may send the probe of a half-open breaker until then."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.permit_until = until

    # What people see

    def report(self, now: float) -> list[TargetReport]:
        """Every target that has been called, at most 500. Any thread may ask."""
        return [self._reported(key, entry, now) for key, entry in list(self._entries.items())[-MOST_REPORTED:]]

    def _reported(self, key: Key, entry: Entry, now: float) -> TargetReport:
        state, _, until = availability(entry, now, shared=self.shared)
        good, bad, limited = entry.vitals.within(now)
        resting = entry.rest_until > now
        return TargetReport(
            *key,
            state=state,
            resting=resting,
            since=entry.since,
            until=until if state == "open" or resting else None,
            why=entry.open_for,
            good=good,
            bad=bad,
            limited=limited,
            in_flight=entry.in_flight,
            times=thinned(entry.vitals.times(), QUANTILES),
            words=entry.words,
            words_at=entry.words_at,
        )
