"""The end of the table of records, read again and again: what has been added for which teams."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.models import Max

from accounting.models import RequestRecord

MOST_ROWS = 5000  # of one look
OVERLAP_SECONDS = 3.0  # for which a transaction may be late: its rows have lower numbers than what was seen before


@dataclass(frozen=True, slots=True)
class News:
    """So many new requests of a team; `newest` is the number of the latest record."""

    count: int
    newest: int


class Tail:
    """Begins at the end as it is at the first look. Several processes may write; each record is told once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._settled = -1  # up to here, everything has been told
        self._tops: deque[tuple[float, int]] = deque()
        self._told: set[int] = set()

    def look(self, teams: Sequence[str]) -> dict[str, News]:
        """What is new of these teams: one query while nothing happens, two while something does."""
        now = self._clock()
        top = RequestRecord.objects.aggregate(top=Max("id"))["top"] or 0
        if self._settled < 0:
            self._settled = top
        if not self._tops or self._tops[-1][1] != top:
            self._tops.append((now, top))
        found = self._news(teams) if top > self._settled else {}
        while self._tops and now - self._tops[0][0] >= OVERLAP_SECONDS:
            self._settled = self._tops.popleft()[1]
            self._told = {number for number in self._told if number > self._settled}
        return found

    def _news(self, teams: Sequence[str]) -> dict[str, News]:
        records = RequestRecord.objects.filter(id__gt=self._settled, team__in=teams).order_by("-id")
        found: dict[str, News] = {}
        for number, team in records.values_list("id", "team")[:MOST_ROWS]:
            if number not in self._told:
                before = found.get(team, News(0, number))
                found[team] = News(before.count + 1, before.newest)
                self._told.add(number)
        return found
