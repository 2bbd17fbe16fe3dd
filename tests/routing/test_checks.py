"""What may be said of active checks, in the file and in the console."""

import pytest
import yaml

from routing.conf import check_checks
from routing.declarative import ConfigRefused, export_config
from routing.models import Provider
from routing.snapshot import load_snapshot
from tests.routing.declared import apply, whole


@pytest.mark.parametrize(
    ("interval", "model", "words"),
    [
        (0, "", ""),
        (0, "m", ""),
        (5, "m", ""),
        (4, "m", "at least 5 seconds"),
        (60, "", "need a model"),
        (0, "a b", "spaces"),
    ],
)
def test_the_rule(interval: int, model: str, words: str) -> None:
    assert words in check_checks(interval, model)
    assert bool(words) == bool(check_checks(interval, model))


@pytest.mark.django_db
def test_checks_are_imported_exported_and_part_of_the_picture() -> None:
    content = whole()
    content["providers"][0]["check"] = {"interval": 60, "model": "claude-haiku-4-5"}
    apply(content)
    conf = load_snapshot().providers["anthropic-main"]
    assert (conf.check_interval, conf.check_model) == (60.0, "claude-haiku-4-5")
    exported = {entry["name"]: entry for entry in yaml.safe_load(export_config().text)["providers"]}
    assert exported["anthropic-main"]["check"] == {"interval": 60, "model": "claude-haiku-4-5"}
    assert apply(content).lines == ()
    del content["providers"][0]["check"]
    apply(content)
    assert Provider.objects.get(name="anthropic-main").check_interval == 60


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"interval": 60}, "providers[0].check.interval: Checks need a model to ask"),
        ({"interval": 1, "model": "m"}, "providers[0].check.interval: Checks are at least 5 seconds apart"),
        ({"interval": "soon", "model": "m"}, "providers[0].check.interval: "),
        ({"every": 60}, "providers[0].check.every: unknown key"),
        ([60], "providers[0].check: not a mapping"),
    ],
)
def test_bad_checks_are_refused_at_their_place(check: object, problem: str) -> None:
    content = whole()
    content["providers"][0]["check"] = check
    with pytest.raises(ConfigRefused) as refused:
        apply(content)
    assert any(str(each).startswith(problem) for each in refused.value.problems), list(map(str, refused.value.problems))
