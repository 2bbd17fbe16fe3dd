"""Reading a question about usage out of an address. What is not understood is refused, as in lists."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError as Refused
from django.http import QueryDict
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from accounting.api.moments import MomentField
from accounting.models.people import validate_timezone
from accounting.money.reports import FILTERS, GROUPS, TAG, Question

MOST_GROUPS = 8
_OTHERS = ("group_by", "since", "until", "timezone")
_PAGING = frozenset({"page", "page_size", "format"})


def question_of(query: QueryDict) -> Question:
    """What is asked. Raises ValidationError with a sentence for each parameter that cannot be read."""
    _known(query)
    zone = query.get("timezone", "UTC")
    try:
        validate_timezone(zone)
    except Refused as error:
        raise ValidationError({"timezone": error.messages}) from None
    return Question(
        group_by=_groups(query.get("group_by", "")),
        since=_moment(query, "since", zone),
        until=_moment(query, "until", zone),
        names=tuple((name, str(query[name])) for name in FILTERS if name in query),
        tags=tuple((name.removeprefix(TAG), str(query[name])) for name in query if name.startswith(TAG)),
        zone=zone,
    )


def _known(query: QueryDict) -> None:
    for name in query:
        values = query.getlist(name)
        if name not in {*FILTERS, *_OTHERS, *_PAGING} and not (name.startswith(TAG) and name != TAG):
            known = ", ".join(sorted((*FILTERS, *_OTHERS, f"{TAG}NAME")))
            raise ValidationError({name: [f"There is no filter {name!r}; there are {known}."]})
        if len(values) > 1:
            raise ValidationError({name: ["Give this once."]})
        if values[0] == "" and name != "group_by":
            raise ValidationError({name: ["This filter is empty; leave it out to see everything."]})
        if "\x00" in values[0] or "\x00" in name:
            raise ValidationError({name: ["Null characters are not allowed."]})


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    for name in names:
        if name not in GROUPS and not (name.startswith(TAG) and name != TAG):
            known = ", ".join(GROUPS)
            raise ValidationError({"group_by": [f"There is no {name!r} to group by; there are {known}, {TAG}NAME."]})
    if len(set(names)) < len(names):
        raise ValidationError({"group_by": ["A name stands here twice."]})
    if len(names) > MOST_GROUPS:
        raise ValidationError({"group_by": [f"At most {MOST_GROUPS} names."]})
    return names


def _moment(query: QueryDict, name: str, zone: str) -> datetime | None:
    """A moment without a zone is one of the zone that was asked for."""
    if name not in query:
        return None
    field: Any = MomentField()
    try:
        with timezone.override(ZoneInfo(zone)):
            found: datetime = field.clean(query[name])
    except Refused as error:
        raise ValidationError({name: error.messages}) from None
    return found
