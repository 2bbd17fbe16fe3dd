"""Conditions and deprecations in the configuration file: applied, exported, and what is wrong with them, each with its path."""

from typing import Any

import pytest
import yaml

from accounting.models import AuditEvent
from routing.declarative import ConfigRefused, export_config, import_config
from routing.models import ModelAlias, Provider, Route
from tests.routing.declared import ENVIRON, apply

pytestmark = pytest.mark.django_db


def file(**routes_and_aliases: Any) -> dict[str, Any]:
    """Two routes, `main` and `eu`, and two aliases, `old` and `new`, with these values added to them."""
    provider = {
        "name": "local",
        "base_url": "http://127.0.0.1:9",
        "credential": {"kind": "none"},
        "allow_private_addresses": True,
    }
    targets = [{"provider": "local", "model": "m"}]
    return {
        "version": 1,
        "providers": [provider],
        "routes": [{"name": name, "targets": targets, **routes_and_aliases.get(name, {})} for name in ("main", "eu")],
        "aliases": [{"name": name, "route": "main", **routes_and_aliases.get(name, {})} for name in ("old", "new")],
    }


def conditions(*values: Any) -> dict[str, Any]:
    return {"conditions": list(values)}


def when(route: str = "eu", **tests: Any) -> dict[str, Any]:
    return {"when": tests, "route": route}


def ends(**values: Any) -> dict[str, Any]:
    return {"deprecation": values}


def refusal(content: Any, **options: Any) -> list[str]:
    before = AuditEvent.objects.count()
    with pytest.raises(ConfigRefused) as error:
        apply(content, **options)
    assert AuditEvent.objects.count() == before
    return [str(problem) for problem in error.value.problems]


EVERYTHING = file(
    main=conditions(
        when(
            team="research",
            project=["a", "b"],
            tag={"env": ["prod"]},
            key="gw_*",
            format="vertex",
            session=True,
            stream=False,
            beta=["context-*"],
            field="thinking.type",
            model="claude-*",
            prompt_tokens_above=10,
            prompt_tokens_below=20,
        ),
        when(tag=["env=prod", "batch"]),
        when(session=["x", True]),
    ),
    old={
        "deprecation": {
            "from": "2026-01-01",
            "until": "2026-06-01T12:00:00Z",
            "successor": "new",
            "text": "Faster: ${HOME}",
            "then": "refuse",
        }
    },
)
HOME = {**ENVIRON, "HOME": "x${y"}


def test_a_file_applied_twice_changes_nothing_the_second_time_and_its_export_neither() -> None:
    apply(EVERYTHING, environ=HOME)
    assert apply(EVERYTHING, environ=HOME).lines == ()
    exported = export_config().text
    assert import_config(exported.encode(), environ=HOME, prune=True).lines == ()
    ModelAlias.objects.all().delete()
    Route.objects.all().delete()
    import_config(exported.encode(), environ=HOME)
    assert export_config().text == exported
    parsed = yaml.safe_load(exported)
    assert parsed["routes"][1]["conditions"][0]["when"]["team"] == ["research"]
    old = next(each for each in parsed["aliases"] if each["name"] == "old")
    assert old["deprecation"]["until"] == "2026-06-01T12:00:00Z"
    assert old["deprecation"]["text"] == "Faster: x$${y"
    assert next(each for each in parsed["aliases"] if each["name"] == "new")["deprecation"] is None


def test_what_the_file_leaves_out_stays_and_what_it_empties_goes() -> None:
    apply(EVERYTHING, environ=HOME)
    assert apply(file()).lines == ()
    lines = apply(file(main={"conditions": []}, old={"deprecation": None})).lines
    assert {line.split(":")[0] for line in lines} == {"changed route main", "changed alias old"}
    assert Route.objects.get(name="main").conditions == []
    assert ModelAlias.objects.get(name="old").deprecation is None


def test_a_part_that_a_deprecation_leaves_out_is_as_for_a_name_in_use() -> None:
    apply(file(old=ends(successor="new", text="x", then="refuse", until="2030-01-01")))
    apply(file(old=ends(successor="new")))
    old = ModelAlias.objects.get(name="old")
    assert (old.retires_on, old.deprecation_text, old.after_retirement) == (None, "", "forward")
    assert old.deprecation is not None
    assert old.deprecation.since == old.created_at.timestamp()


def test_numbers_and_flags_may_come_from_the_environment() -> None:
    content = file(main=conditions(when(stream="${YES}", prompt_tokens_above="${MANY}", team="${WHO}")))
    apply(content, environ={**ENVIRON, "YES": "true", "MANY": "1000", "WHO": "12"})
    assert Route.objects.get(name="main").conditions == [
        {"when": {"team": ["12"], "stream": True, "prompt_tokens_above": 1000}, "route": "eu"}
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (file(main={"conditions": {}}), "routes[0].conditions: conditions is a list"),
        (
            file(main=conditions(when(teem="x"))),
            "routes[0].conditions[0].when.teem: unknown test; did you mean team?",
        ),
        (
            file(main=conditions(when(team="x"), when(stream="x"))),
            "routes[0].conditions[1].when.stream: neither true nor false",
        ),
        (
            file(main=conditions(when(team=["x", 4711]))),
            "routes[0].conditions[0].when.team[1]: not a text; write it in quotes",
        ),
        (
            file(main=conditions(when(prompt_tokens_above=5, prompt_tokens_below=5))),
            "routes[0].conditions[0].when: no number of tokens is above 5 and below 5",
        ),
        (file(main=conditions({"when": {"team": "x"}})), "routes[0].conditions[0].route: required"),
        (
            file(main=conditions(when(team="x"), when("eux", team="y"))),
            "routes[0].conditions[1].route: there is no route eux, neither in the file nor stored; did you mean eu?",
        ),
        (
            file(main=conditions(when("main", team="x"))),
            "routes[0].conditions[0].route: This leads in a circle: main → main.",
        ),
        (
            file(main=conditions(when("eu", team="x")), eu=conditions(when("main", team="y"))),
            "routes[1].conditions[0].route: This leads in a circle: eu → main → eu.",
        ),
        (
            file(main=conditions(when("eu", team="x")), eu={"enabled": False}),
            "routes[0].conditions[0].route: The route eu is disabled.",
        ),
        (file(main=conditions(when(team="${NOPE}"))), "routes[0].conditions[0].when.team: NOPE is not set"),
        (file(old={"deprecation": "soon"}), "aliases[0].deprecation: not a mapping"),
        (file(old=ends(form="2026-01-01")), "aliases[0].deprecation.form: unknown key; did you mean from?"),
        (file(old=ends(until="soon")), "aliases[0].deprecation.until: not a date"),
        (file(old=ends(until="2026-01-01")), "aliases[0].deprecation.successor: To forward"),
        (file(old=ends(then="explode")), "aliases[0].deprecation.then: Value 'explode' is not a valid choice."),
        (file(old=ends(successor="new-*")), "aliases[0].deprecation.successor: A successor is one name"),
        (
            file(old={"deprecation": {"from": "2026-02-01", "until": "2026-01-01", "successor": "new"}}),
            "aliases[0].deprecation.until: It would be retired before",
        ),
        (file(old=ends(successor="newer")), "aliases[0].deprecation.successor: Nothing serves newer"),
        (
            file(old=ends(successor="new"), new={"enabled": False}),
            "aliases[0].deprecation.successor: Nothing serves new",
        ),
        (
            file(old=ends(successor="new"), new=ends(successor="old")),
            "aliases[1].deprecation.successor: The successors lead in a circle: new → old → new.",
        ),
    ],
)
def test_each_problem_is_told_with_the_path_to_it(content: Any, said: str) -> None:
    found = refusal(content)
    assert any(each.startswith(said) for each in found), found
    assert not Provider.objects.exists()


def test_a_successor_and_a_conditions_route_may_stand_further_down_or_change_places() -> None:
    apply(file(main=conditions(when("eu", team="x")), old=ends(successor="new")))
    swapped = file(
        main=conditions(), eu=conditions(when("main", team="x")), old={"deprecation": None}, new=ends(successor="old")
    )
    apply(swapped)
    assert Route.objects.get(name="eu").conditions[0]["route"] == "main"
    assert ModelAlias.objects.get(name="new").successor == "old"


def test_what_the_file_does_not_mention_must_not_be_left_leading_nowhere() -> None:
    apply(file(main=conditions(when("eu", team="x")), old=ends(successor="new")))
    off = {"version": 1, "routes": [{"name": "eu", "enabled": False}]}
    assert refusal(off) == ["routes: main: The route eu is disabled."]
    gone = {"version": 1, "aliases": [{"name": "new", "enabled": False}]}
    assert refusal(gone) == ["aliases: old: Nothing serves new: no enabled alias fits that name."]
    everything_off = {"version": 1}
    apply(everything_off, prune=True)
    assert not Route.objects.filter(enabled=True).exists()
