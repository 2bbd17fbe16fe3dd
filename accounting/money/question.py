"""What can be asked of usage: by which names and times, of which period."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from accounting.money.contributions import NAMES, TOTALS
from accounting.money.local_days import cuts_hours, worth_moving
from accounting.money.periods import Stretch, Unit, stretches

TAG = "tag:"
DATES = ("day", "week", "month")  # of a zone, each by its first day; a week begins on Monday
TIMES = (*DATES, "hour")
GROUPS = tuple(name for name in NAMES if name != "tags") + TIMES
FILTERS = tuple(name for name in NAMES if name != "tags")
LONGEST_IN_A_ZONE = timedelta(days=3700)


class BadQuestion(ValueError):
    """A question that cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to sum, and by what. `names` are exact values, `tags` (name, value) pairs, `alias_pattern` a pattern of names
    asked for. Days, weeks and months are those of `zone`. Without bounds a period is everything there is.

    With `kept`, one of the names grouped by and some of its values, all its other values are one: None."""

    group_by: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    names: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    alias_pattern: str = ""
    zone: str = "UTC"
    kept: tuple[str, tuple[str, ...]] | None = None

    @property
    def by_local_date(self) -> bool:
        return self.zone != "UTC" and not {*self.group_by}.isdisjoint(DATES)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units of time that may be taken whole, largest first."""
        if "hour" in self.group_by:
            return ("hour",)
        if self.by_local_date and self.since is not None and not worth_moving(self.since, ZoneInfo(self.zone)):
            return ("hour",)
        by_days = self.by_local_date or not {*self.group_by}.isdisjoint(("day", "week"))
        return ("day", "hour") if by_days else ("month", "day", "hour")

    @property
    def from_totals(self) -> bool:
        named = {*self.group_by, *(name for name, _ in self.names)} - set(TIMES)
        return not self.tags and named <= TOTALS

    @property
    def stretches(self) -> list[Stretch]:
        """What the period is put together from. Hours of a zone's days are moved, not taken away."""
        return stretches(self.since, self.until, self.units, complement=not self.by_local_date)

    @property
    def takes_away(self) -> bool:
        """Whether something is counted that is taken away again: what is left of a group may be nothing."""
        return self.by_local_date or any(each.minus for each in self.stretches)


def check_whole_hours(question: Question) -> None:
    """Days of a zone are made of hours that begin when UTC's do; where that is not so, no sum would be exact."""
    zone = ZoneInfo(question.zone)
    if question.since is None or question.until is None:
        raise BadQuestion("Days of a time zone need a beginning and an end: give since and until.")
    if question.until - question.since > LONGEST_IN_A_ZONE:
        raise BadQuestion("Days of a time zone are given for ten years at most.")
    if cuts_hours(question.since, question.until, zone):
        raise BadQuestion(f"{question.zone} is not whole hours from UTC; usage is kept by hours of UTC.")
