"""Whatever stands in a file, an import applies it or refuses it with reasons; it never fails otherwise."""

import copy
import datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.declarative import ConfigRefused, Problem
from tests.routing.declared import WHOLE, apply

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "*", "-", "${", "${UPSTREAM_KEY}", "${NOPE}", "$${x}", "a" * 500, "\0", "\x1b", "2027-01-01"]),
    st.dates(),
    st.datetimes(),
    st.just(datetime.datetime.max.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-12)))),
    st.binary(max_size=5),
    st.just([]),
    st.just({}),
    st.just([[1], {"name": "x"}, None]),
    st.just({"name": "x", "": None}),
    st.just({1: 2, None: 3}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for step, child in steps for each in places(child, (*path, step)))]


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    inner = content
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return content


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(places(WHOLE)[1:]), ODD), min_size=1, max_size=3), st.booleans())
def test_any_value_anywhere_is_applied_or_refused(changes: list[tuple[tuple[Any, ...], Any]], prune: bool) -> None:
    content = copy.deepcopy(WHOLE)
    for path, value in sorted(changes, key=lambda change: -len(change[0])):
        content = put(content, path, value)
    problems: tuple[Problem, ...] = (Problem((), "none"),)
    try:
        apply(yaml.safe_dump(content), prune=prune, dry_run=True)
    except ConfigRefused as refused:
        problems = refused.problems
    assert problems
