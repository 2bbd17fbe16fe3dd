"""Checks settings that somebody pasted: each rule looks at one thing, and says what is wrong and what to do."""

from collections.abc import Callable, Iterator

from django.utils.translation import gettext as _

from accounting.clients import rules_address, rules_key, rules_models
from accounting.clients.findings import BAD, GOOD, INFO, WARN, Facts, Finding, about
from accounting.clients.pasted import SETTINGS, Pasted

Rule = Callable[[Pasted, Facts], Iterator[Finding]]
_ORDER = {BAD: 0, WARN: 1, INFO: 2, GOOD: 3}


def unreadable(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    for problem in pasted.problems:
        yield Finding(BAD, problem.text, source=problem.source, line=problem.line)


def beside_env(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    for given in pasted.misplaced:
        yield about(BAD, given, _("This stands beside env and is not read there. Put it inside, as one of its names."))


def settings_beat_the_shell(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    for name, given in pasted.shell.items():
        other = pasted.settings.get(name)
        if other is not None and other.value != given.value:
            text = _("Not used: the settings file has another value for this (line %(line)s), and wins over the shell.")
            yield about(WARN, given, text % {"line": other.line})


RULES: tuple[Rule, ...] = (
    unreadable,
    beside_env,
    rules_address.one_mode,
    rules_address.address_is_given,
    rules_address.address_leads_here,
    rules_address.addresses_of_other_modes,
    rules_address.what_the_mode_needs,
    rules_key.carriers,
    rules_key.secrets,
    settings_beat_the_shell,
    rules_models.pinned_names,
    rules_models.names_left_open,
    rules_models.old_variables,
    rules_models.fewer_betas,
    rules_address.proxies,
    rules_address.unsafe_connections,
    rules_address.quiet_traffic,
)


def check(pasted: Pasted, facts: Facts) -> list[Finding]:
    """Everything that there is to say, what is wrong first, then by line."""
    if not (pasted.settings or pasted.shell or pasted.misplaced or pasted.model or pasted.helper):
        if pasted.problems:
            return list(unreadable(pasted, facts))
        return [Finding(WARN, _("There is no variable in this. Paste a settings.json, or what `env` prints."))]
    found = list(dict.fromkeys(finding for rule in RULES for finding in rule(pasted, facts)))
    return sorted(found, key=lambda each: (_ORDER[each.level], each.source != SETTINGS, each.line))


def works(findings: list[Finding]) -> bool:
    """Whether nothing stands in the way."""
    return not any(each.level == BAD for each in findings)
