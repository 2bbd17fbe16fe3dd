"""Rules about names of models: pinned or not, served here or not, allowed, at their end."""

import difflib
from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _

from accounting.access.offers import OfferedName, may_ask
from accounting.access.patterns import matches
from accounting.clients.blocks import ANTHROPIC
from accounting.clients.findings import BAD, INFO, WARN, Facts, Finding, about
from accounting.clients.pasted import Given, Pasted
from accounting.clients.pins import DEFAULTS, FAMILY_VARIABLES, MODEL
from accounting.clients.rules_address import mode_of

WORDS = frozenset({*DEFAULTS, "default", "opusplan", "best", "inherit"})
LONG = "[1m]"
OLD_SMALL = "ANTHROPIC_SMALL_FAST_MODEL"


def pinned_names(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    """Every name that is given is served here and allowed."""
    for name in (MODEL, *FAMILY_VARIABLES.values(), OLD_SMALL):
        if given := pasted.get(name):
            yield from _about_name(given, facts)
    if pasted.model:
        yield from _about_name(pasted.model, facts)
        if pasted.get(MODEL):
            yield about(INFO, pasted.model, _("ANTHROPIC_MODEL is set as well, and goes over this."))


def names_left_open(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    """What Claude Code asks for by itself where a variable is missing."""
    missing = [name for name in (MODEL, *FAMILY_VARIABLES.values()) if not pasted.get(name)]
    if not missing:
        return
    if mode_of(pasted) != ANTHROPIC:
        text = _("Not pinned: %(names)s. In this mode Claude Code tries its own models with requests of one token at the start, "
                 "and takes older ones where it is refused.")  # fmt: skip
        yield Finding(WARN, text % {"names": ", ".join(missing)})
        return
    wrong = False
    for family, variable in FAMILY_VARIABLES.items():
        default = DEFAULTS[family]
        if variable in missing and _served(default, facts) is None:
            wrong = True
            text = _("%(variable)s is not set, so %(family)s means %(default)s, which is not served here.")
            yield Finding(WARN, text % {"variable": variable, "family": family, "default": default}, variable)
    if not wrong:
        text = _(
            "Not pinned: %(names)s. Claude Code then asks for models of its own choice, which change with its version."
        )
        yield Finding(INFO, text % {"names": ", ".join(missing)})


def old_variables(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    if given := pasted.get(OLD_SMALL):
        text = _("This is an old name; %(name)s replaces it.")
        yield about(INFO, given, text % {"name": FAMILY_VARIABLES["haiku"]})


def fewer_betas(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    given = pasted.get("CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS")
    if given and pasted.is_on(given.name):
        text = _("Not needed here: the gateway leaves out what a provider does not take. With it, Claude Code does without "
                 "features, and sends more tools in each request.")  # fmt: skip
        yield about(WARN, given, text)


def _about_name(given: Given, facts: Facts) -> Iterator[Finding]:
    asked = given.value.strip()
    if asked.lower().removesuffix(LONG) in WORDS:
        return
    found = _served(asked, facts)
    said = {"asked": asked[:100]}
    if found is None:
        close = _close(asked, facts.names)
        text = _("%(asked)s is not served here.") % said
        perhaps = _("Perhaps: %(names)s") % {"names": ", ".join(close)}
        yield about(BAD, given, f"{text} {perhaps}" if close else text)
    elif not _allowed(asked, found, facts):
        yield about(BAD, given, _("%(asked)s is served here, and this key or its team may not use it.") % said)
    elif found.ending and found.successor:
        text = _("%(asked)s is deprecated. Use %(successor)s instead.")
        yield about(WARN, given, text % {**said, "successor": found.successor})
    elif found.ending:
        yield about(WARN, given, _("%(asked)s is deprecated.") % said)


def _served(asked: str, facts: Facts) -> OfferedName | None:
    """The name or pattern that serves a name: an exact one, else the pattern with the most literal characters."""
    exact = next((each for each in facts.names if each.name == asked and "*" not in asked), None)
    if exact is not None:
        return exact
    if asked.endswith(LONG):
        return _served(asked.removesuffix(LONG), facts)
    fitting = [each for each in facts.names if "*" in each.name and matches(each.name, asked)]
    return max(fitting, key=lambda each: len(each.name.replace("*", "")), default=None)


def _allowed(asked: str, found: OfferedName, facts: Facts) -> bool:
    lists = [facts.allowed_models, *(fact.allowed_models for fact in facts.keys.values())]
    return may_ask(asked, *lists) or ("*" not in found.name and may_ask(found.name, *lists))


def _close(asked: str, names: Sequence[OfferedName]) -> list[str]:
    return difflib.get_close_matches(asked[:300], [each.name for each in names if "*" not in each.name], n=3)
