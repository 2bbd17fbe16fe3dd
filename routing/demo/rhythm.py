"""When people and programs of the demo ask: by the hour of their own day, less at weekends, more from month to month."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

DAYS = 92
HOURS = DAYS * 24
LEAST_OF_LAST_DAY = 1 / 110  # of all requests, also when the last day is a Sunday
LEAST_OF_LAST_HOUR = 1 / 600  # so that what shows the last hour shows something, also in the night
_GROWN = 2.2  # how much more is asked at the end than at the beginning
_AT_PEAK = 2.6
_WEEKEND = {"people": 0.1, "programs": 0.55}
_OF_DAY: Mapping[str, tuple[float, ...]] = {
    "people": (
        *(0.02, 0.01, 0.01, 0.01, 0.01, 0.02, 0.08, 0.3, 0.75, 1.0, 1.0, 0.9),
        *(0.5, 0.85, 1.0, 1.0, 0.9, 0.7, 0.4, 0.2, 0.15, 0.12, 0.08, 0.04),
    ),
    "programs": (
        *(0.35, 0.3, 0.9, 0.35, 0.3, 0.3, 0.4, 0.5, 0.7, 0.9, 1.0, 1.0),
        *(0.9, 1.0, 1.0, 1.0, 0.95, 0.85, 0.7, 0.6, 0.5, 0.45, 0.4, 0.4),
    ),
}


@dataclass(frozen=True, slots=True)
class Calendar:
    """The quarter that ends now, and the working day in it on which a target was down."""

    now: datetime
    peak: datetime = field(init=False)

    def __post_init__(self) -> None:
        day = (self.now - timedelta(days=16)).replace(hour=0, minute=0, second=0, microsecond=0)
        while day.weekday() > 3:
            day -= timedelta(days=1)
        object.__setattr__(self, "peak", day)

    @property
    def start(self) -> datetime:
        return self.now - timedelta(hours=HOURS)

    @property
    def incident(self) -> tuple[datetime, datetime]:
        """When the target was down: an afternoon of the peak day."""
        return self.peak + timedelta(hours=12, minutes=20), self.peak + timedelta(hours=16, minutes=45)

    def moment(self, chance: random.Random, zone: str, kind: str, silent_for: float = 0.0) -> datetime:
        """A moment at which somebody in this time zone asks, `silent_for` days ago or earlier."""
        weights = _weights(self, zone, kind)
        least = min(int(silent_for * 24), HOURS - 1)
        already = weights[least - 1] if least else 0.0
        (age,) = chance.choices(range(least, HOURS), cum_weights=[each - already for each in weights[least:]])
        return self.now - timedelta(hours=age + chance.random())


@lru_cache(maxsize=64)
def _weights(calendar: Calendar, zone: str, kind: str) -> tuple[float, ...]:
    """How much is asked in each hour, the latest first, added up."""
    local, found = ZoneInfo(zone), []
    for age in range(HOURS):
        at = calendar.now - timedelta(hours=age + 0.5)
        there = at.astimezone(local)
        weight = _OF_DAY[kind][there.hour] * (_GROWN - (_GROWN - 1) * age / HOURS)
        if there.weekday() > 4:
            weight *= _WEEKEND[kind]
        if at.date() == calendar.peak.date():
            weight *= _AT_PEAK
        found.append(weight)
    missing = LEAST_OF_LAST_DAY * sum(found) - sum(found[:24])
    if missing > 0:
        found[:24] = [weight + missing / 24 for weight in found[:24]]
    found[0] = max(found[0], LEAST_OF_LAST_HOUR * sum(found))
    return tuple(accumulate(found))
