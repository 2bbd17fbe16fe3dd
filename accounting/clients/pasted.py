"""Settings as people paste them: a settings.json, lines of a shell, the output of `env`. Nothing here is kept or logged.

Secrets come out as values for comparing, never as text to show: `masked` is what a page may show of a variable.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.utils.translation import gettext as _

SETTINGS, SHELL = "settings", "shell"
MASK = "***"
LONGEST = 100_000
MOST_LINES = 2000
SECRETS = (
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "AWS_BEARER_TOKEN_BEDROCK",
)  # those that carry a key of a gateway
_ASSIGNMENTS = (
    re.compile(
        r"^\s*(?:export\s+|setx\s+(?=[A-Za-z_]\w*=)|set\s+(?=[A-Za-z_]\w*=)|declare\s+-x\s+)?([A-Za-z_]\w*)=(.*)$"
    ),
    re.compile(r"^\s*\$env:([A-Za-z_]\w*)\s*=\s*(.*)$", re.IGNORECASE),
    re.compile(r"^\s*set\s+(?:-\w+\s+)+([A-Za-z_]\w*)\s+(.*)$"),  # fish
    re.compile(r"^\s*setx\s+([A-Za-z_]\w*)\s+(.*)$", re.IGNORECASE),
)
# What may be shown as it is; of everything else only that it is there.
_PLAIN = re.compile(
    r"^(ANTHROPIC_(BASE_URL|(BEDROCK|VERTEX)_BASE_URL|VERTEX_PROJECT_ID|MODEL|SMALL_FAST_MODEL|DEFAULT_\w+_MODEL|BETAS)"
    r"|CLAUDE_CODE_(USE|SKIP|DISABLE|ENABLE)_\w+|CLAUDE_CODE_API_KEY_HELPER_TTL_MS|CLAUDE_CODE_MAX_RETRIES|API_TIMEOUT_MS"
    r"|AWS_REGION|AWS_DEFAULT_REGION|CLOUD_ML_REGION|(?i:HTTPS?_PROXY|ALL_PROXY|NO_PROXY)|NODE_TLS_REJECT_UNAUTHORIZED"
    r"|NODE_EXTRA_CA_CERTS|DISABLE_\w+|ENABLE_\w+)$"
)


@dataclass(frozen=True, slots=True)
class Given:
    """A variable as it was given: where (`settings` or `shell`), in which line."""

    name: str
    value: str = field(repr=False)
    source: str
    line: int

    @property
    def masked(self) -> str:
        return masked(self.name, self.value)


@dataclass(frozen=True, slots=True)
class Problem:
    """What cannot be read, in which line."""

    source: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Pasted:
    """What somebody pasted, understood. `model` and `helper` are settings.json's own keys, with their lines; `misplaced` are
    variables beside `env` instead of in it."""

    settings: dict[str, Given] = field(default_factory=dict)
    shell: dict[str, Given] = field(default_factory=dict)
    model: Given | None = None
    helper: Given | None = None
    misplaced: tuple[Given, ...] = ()
    problems: tuple[Problem, ...] = ()

    def get(self, name: str) -> Given | None:
        """The value that counts: the settings' goes over the shell's. An empty one is none."""
        found = self.settings.get(name) or self.shell.get(name)
        return found if found is not None and found.value else None

    def text(self, name: str) -> str:
        found = self.get(name)
        return found.value if found else ""

    def is_on(self, name: str) -> bool:
        return self.text(name).strip().lower() in {"1", "true", "yes", "on"}

    def every(self) -> Iterator[Given]:
        """All variables, those of the settings first, by their lines."""
        yield from self.settings.values()
        yield from self.shell.values()

    @property
    def secrets(self) -> list[str]:
        """Everything that may be a key, for comparing."""
        found = [each.value for each in (*self.every(), *self.misplaced) if each.name in SECRETS and each.value]
        return [value for value in dict.fromkeys(found) if value != MASK]


def read_pasted(settings: str, shell: str) -> Pasted:
    """Understands both texts; either may be empty. A settings.json in the shell's place is taken for what it is."""
    if not settings.strip() and shell.lstrip().startswith("{"):
        settings, shell = shell, ""
    found, problems = _read_shell(shell)
    lines = dict(enumerate(settings.splitlines(), 1))
    content: Any = {}
    if settings.strip():
        try:
            content = json.loads(settings)
        except (ValueError, RecursionError) as error:
            problems.append(Problem(SETTINGS, getattr(error, "lineno", 0), _not_json(error)))
        if not isinstance(content, dict):
            problems.append(Problem(SETTINGS, 1, _("Settings are an object: the file begins with { and ends with }.")))
            content = {}
    given = content.get("env", {})
    if not isinstance(given, dict):
        problems.append(Problem(SETTINGS, _line(lines, "env"), _("env is an object of names and texts.")))
        given = {}
    own = _own_keys(content, lines)
    return Pasted(
        settings={name: one for name, value in given.items() if (one := _of_json(name, value, lines, problems))},
        shell=found,
        model=own.get("model"),
        helper=own.get("apiKeyHelper"),
        misplaced=_misplaced(content, lines),
        problems=tuple(problems),
    )


def masked(name: str, value: str) -> str:
    """What may be shown of a variable's value."""
    if not _PLAIN.match(name):
        return MASK if value else ""
    if "://" in value:
        return _without_password(value)
    return value if len(value) <= 300 and not re.search(r"gwt?_\w|sk-\w|Bearer\s", value) else MASK


def shown_settings(pasted: Pasted) -> str:
    """A settings.json as it may stand on the page again: secrets masked, and only what was understood."""
    content: dict[str, Any] = {}
    if pasted.model:
        content["model"] = pasted.model.value[:300]
    if pasted.helper:
        content["apiKeyHelper"] = MASK
    content |= {each.name: each.masked for each in pasted.misplaced}
    if pasted.settings:
        content["env"] = {name: given.masked for name, given in pasted.settings.items()}
    return json.dumps(content, indent=2, ensure_ascii=False) if content else ""


def shown_shell(pasted: Pasted) -> str:
    return "\n".join(f"{name}={given.masked}" for name, given in pasted.shell.items())


def _read_shell(text: str) -> tuple[dict[str, Given], list[Problem]]:
    found: dict[str, Given] = {}
    for number, line in enumerate(text.splitlines()[:MOST_LINES], 1):
        for pattern in _ASSIGNMENTS:
            if fit := pattern.match(line):
                name, value = fit.group(1), _unquoted(fit.group(2))
                found.pop(name, None)  # the later one counts
                found[name] = Given(name, value, SHELL, number)
                break
    return found, []


def _unquoted(text: str) -> str:
    text = text.strip().removesuffix(";").strip()
    if len(text) >= 2 and text[0] in "\"'" and text[-1] == text[0]:
        return text[1:-1]
    return re.sub(r"\s+#.*$", "", text)  # a remark of the shell


def _of_json(name: str, value: Any, lines: dict[int, str], problems: list[Problem]) -> Given | None:
    line = _line(lines, name)
    if not isinstance(value, str):
        problems.append(
            Problem(SETTINGS, line, _("The value of %(name)s is not a text; put it into quotes.") % {"name": name})
        )
        value = str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int | float) else ""
    return Given(name, value, SETTINGS, line)


def _own_keys(content: dict[str, Any], lines: dict[int, str]) -> dict[str, Given]:
    return {
        name: Given(name, content[name], SETTINGS, _line(lines, name))
        for name in ("model", "apiKeyHelper")
        if isinstance(content.get(name), str) and content[name]
    }


def _misplaced(content: dict[str, Any], lines: dict[int, str]) -> tuple[Given, ...]:
    return tuple(
        Given(name, str(value), SETTINGS, _line(lines, name)) for name, value in content.items() if _is_variable(name)
    )


def _is_variable(name: str) -> bool:
    return bool(re.match(r"^(ANTHROPIC|AWS|CLAUDE_CODE|CLOUD_ML)_[A-Z0-9_]+$", name))


def _line(lines: dict[int, str], name: str) -> int:
    quoted = json.dumps(name)
    return next((number for number, line in lines.items() if quoted in line), 0)


def _not_json(error: Exception) -> str:
    reason = getattr(error, "msg", "")
    return _("This is not JSON, so Claude Code does not read it: %(reason)s") % {
        "reason": reason or _("it is nested too deep")
    }


def _without_password(value: str) -> str:
    """An address without what may be a password in it, and without its query."""
    try:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")
        return urlunsplit((parts.scheme, f"{MASK}@{host[2]}" if host[1] else host[2], parts.path, "", ""))[:300]
    except ValueError:
        return MASK
