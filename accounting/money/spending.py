"""What was spent in a period: what budgets start from, and are checked against."""

from datetime import datetime
from decimal import Decimal

from accounting.money.reports import Question, total_cost


def spent(
    *,
    team: str = "",
    project: str = "",
    key_prefix: str = "",
    user: str = "",
    model: str = "",
    tag: str = "",
    since: datetime | None,
    until: datetime | None = None,
) -> Decimal:
    """Dollars from `since` (None: ever) up to `until`, exact, adjustments included; one query.

    Every scope that is given counts; `model` is a pattern of the names that clients ask for, `tag` is `name=value`. A record
    counts as soon as it is stored. Raises ValueError for a tag without a value.
    """
    names = (("team", team), ("project", project), ("key_prefix", key_prefix), ("user", user))
    name, given, value = tag.partition("=")
    if tag and not (name and given):
        raise ValueError(f"{tag!r} is not name=value")
    question = Question(
        since=since,
        until=until,
        names=tuple((column, wanted) for column, wanted in names if wanted),
        tags=((name, value),) if tag else (),
        alias_pattern=model,
    )
    return total_cost(question)
