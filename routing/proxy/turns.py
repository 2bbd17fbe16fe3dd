"""Whose turn it is: the target of a request's next call, and how long to wait for it. No I/O; time and chance are passed in."""

from collections.abc import Callable, Iterable

from routing.targets import HealthView, TargetConf

SHORT_WAIT = 2.0  # seconds; an upstream that asks for more is left for the next target
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds, at most, before the same target is called again; doubles each time


class Turns:
    """The candidates of one request: those not called yet come first, then those whose failure lets them be called again."""

    __slots__ = ("_again", "_health", "_random", "_untried")

    def __init__(self, targets: Iterable[TargetConf], health: HealthView, random: Callable[[], float]) -> None:
        self._untried = list(targets)
        self._again: list[tuple[float, TargetConf]] = []  # from when each may be called again
        self._health = health
        self._random = random

    def first(self, now: float) -> TargetConf | None:
        """The target of the first call: one that only rests if all do; None when none may be called any more."""
        resting: TargetConf | None = None
        for target in self._untried:
            seen = self._health.look(target, now)
            if not seen.reason:
                return self._taken(target)
            if resting is None and seen.state == "closed" and not seen.barred:
                resting = target
        return self._taken(resting) if resting is not None else None

    def next(self, now: float) -> tuple[TargetConf, float] | None:
        """The target of a further call, and the moment for it: an untried one now, else the soonest of all."""
        waiting = list(self._again)
        for target in self._untried:
            seen = self._health.look(target, now)
            if not seen.reason:
                return self._taken(target), now
            if seen.state == "closed" and not seen.barred and seen.until - now <= SHORT_WAIT:
                waiting.append((seen.until, target))
        able = [pair for pair in waiting if not self._health.look(pair[1], max(now, pair[0])).reason]
        if not able:
            return None
        moment, target = min(able, key=lambda pair: pair[0])
        return self._taken(target), max(now, moment)

    def failed(self, target: TargetConf, now: float, *, kind: str | int, asked: float | None, calls: int) -> None:
        """`target` has failed after so many `calls`, and has `asked` for so many seconds of rest, or not.

        After a short rest it may be called again, with some chance added, so that not all come back at once. After a
        long one, or a 429 that does not say how long, waiting is the client's business.
        """
        if asked is None and kind != 429:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (calls - 1)) * self._random()
        elif asked is not None and asked <= SHORT_WAIT:
            pause = asked * (1 + 0.1 * self._random())
        else:
            return
        self._again.append((now + pause, target))

    def soonest(self, now: float) -> float:
        """Seconds until the first target may be free."""
        waits = [self._health.look(target, now).until - now for target in self._untried]
        return max(0.0, min(waits, default=0.0))

    def _taken(self, target: TargetConf) -> TargetConf:
        self._untried = [each for each in self._untried if each is not target]
        self._again = [pair for pair in self._again if pair[1] is not target]
        return target
