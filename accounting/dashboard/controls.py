"""What one can click on a page about usage: its address with something changed, as links, choices and removable filters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from accounting.dashboard.asked import FILTERS, MEASURES, SCALES, TAGGED, TEAM, TOPS, Asked
from accounting.dashboard.rows import Row, Table
from accounting.money.question import TAG
from accounting.money.seen import Seen
from gateway_project.dashboard.periods import CUSTOM

# What a group is looked at by when one clicks it.
NEXT = {
    TEAM: "project",
    "project": "key",
    "key": "model",
    "user": "model",
    "model": "user",
    "provider": "model",
    TAGGED: "model",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a select, or a link in a row of them."""

    value: str
    title: Any
    chosen: bool
    address: str = ""


@dataclass(frozen=True, slots=True)
class Select:
    name: str
    title: Any
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's title, the address that sorts by it, and how it is sorted now: `ascending`, `descending` or ""."""

    title: Any
    address: str
    sorted: str
    number: bool


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter in force, and the address without it."""

    title: Any
    value: str
    address: str


def changed(query: QueryDict, changes: Mapping[str, str | None], path: str = "") -> str:
    """The address with other parameters; those of None are left out."""
    copy = query.copy()
    for name, value in changes.items():
        if value is None:
            copy.pop(name, None)
        else:
            copy[name] = value
    return f"{path}?{copy.urlencode()}" if copy else path or "?"


def bar_links(query: QueryDict, asked: Asked, table: Table) -> list[str]:
    """An address for each bar that narrows the page to its days; none where nothing is narrower."""
    if asked.scale == "hour" or len(table.bars) < 2:
        return []
    return [
        changed(
            query,
            {"period": CUSTOM, "since": bar.first_day.isoformat(), "until": bar.last_day.isoformat(), "scale": None},
        )
        for bar in table.bars
    ]


def row_link(query: QueryDict, asked: Asked, row: Row, path: str = "") -> str:
    """The address that shows this group alone, by something else; "" for what cannot be named."""
    if not row.names or not all(row.names) or asked.group not in NEXT:
        return ""
    wanted = dict(zip(asked.by, row.names, strict=True))
    following = NEXT[asked.group]
    given = {name for name, _value in asked.filters}
    if following in given or following in wanted:
        following = "model" if "model" not in given and asked.group != "model" else "key"
    return changed(query, {**wanted, "group": following, "sort": None, "tag": None}, path)


def headings(query: QueryDict, asked: Asked, table: Table, first: Any) -> list[Heading]:
    found = [_heading(query, asked.sort, "name", first, largest_first=False)]
    return found + [_heading(query, asked.sort, name, title) for name, title in table.columns.items()]


def _heading(query: QueryDict, sort: str, name: str, title: Any, *, largest_first: bool = True) -> Heading:
    now = {name: "ascending", f"-{name}": "descending"}.get(sort, "")
    first, second = (f"-{name}", name) if largest_first else (name, f"-{name}")
    return Heading(title, changed(query, {"sort": second if sort == first else first}), now, largest_first)


def chips(query: QueryDict, asked: Asked) -> list[Chip]:
    titles = {TEAM: _("Team"), **FILTERS}
    found = [Chip(titles[name], value, changed(query, {name: None})) for name, value in asked.filters]
    return found + [Chip(name, value, changed(query, {f"{TAG}{name}": None})) for name, value in asked.tags]


def without_filters(query: QueryDict, asked: Asked) -> str:
    given = [name for name, _value in asked.filters] + [f"{TAG}{name}" for name, _value in asked.tags]
    return changed(query, dict.fromkeys(given))


def links(query: QueryDict, name: str, titles: Mapping[str, Any], chosen: str) -> list[Choice]:
    """A row of links of which one is chosen."""
    return [Choice(value, title, value == chosen, changed(query, {name: value})) for value, title in titles.items()]


def selects(asked: Asked, groups: Mapping[str, tuple[Any, Any]], known: Seen) -> list[Select]:
    """How usage is shown."""
    shown = [
        _select("group", _("By"), {name: title for name, (title, _names) in groups.items()}, asked.group),
        _select("measure", _("Show"), {name: each.title for name, each in MEASURES.items()}, asked.measure),
        _select("scale", _("In steps of a"), {name: SCALES[name] for name in asked.scales}, asked.scale),
        _select("top", _("Rows"), {str(each): str(each) for each in TOPS}, str(asked.top)),
    ]
    if asked.group == TAGGED:
        shown.insert(1, _select("tag", _("Tag"), {name: name for name in known.tags}, asked.tag))
    return shown


def filter_selects(asked: Asked, known: Seen, teams: Sequence[str] = ()) -> list[Select]:
    """What usage is narrowed to. A value of the address that was never seen is among the choices, too."""
    given = dict(asked.filters)
    values = {**({TEAM: tuple(teams)} if teams else {}), **{name: known.of(name) for name in FILTERS}}
    titles = {TEAM: _("Team"), **FILTERS}
    found = []
    for name, seen in values.items():
        value = given.get(name, "")
        all_of_them = {"": _("all"), **{each: each for each in (*seen, *([value] if value else []))}}
        found.append(_select(name, titles[name], all_of_them, value))
    return found


def _select(name: str, title: Any, titles: Mapping[str, Any], chosen: str) -> Select:
    return Select(name, title, tuple(Choice(value, text, value == chosen) for value, text in titles.items()))
