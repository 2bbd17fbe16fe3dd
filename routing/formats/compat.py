"""The compatibility registry: which betas and body fields an upstream of another format takes. Pure.

A rule says what becomes of a beta value or of a feature of the body when a request crosses to an upstream format. The rows
that ship with the gateway are in `compat_rules`; an administrator's rules come on top of them.

Which rule counts: the name with the most literal characters first; among equal names an administrator's rule before a
shipped one; then the model pattern with the most literal characters; then the later one. Without any rule a field passes
everywhere, and a beta passes to Anthropic and is dropped on the way to the other formats.

Between equal formats everything passes, except where an administrator's own rule says otherwise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accounting.access.patterns import matches
from routing.formats.base import ANTHROPIC

BETA, FIELD = "beta", "field"
PASS, RENAME, DROP, REFUSE = "pass", "rename", "drop", "refuse"
KINDS = (BETA, FIELD)
ACTIONS = (PASS, RENAME, DROP, REFUSE)
ANY = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the registry.

    `name` is a pattern of beta values, or of features as `routing.formats.features` spells them (`speed`,
    `cache_control.scope`, `tools[].type=web_search_*`). `upstream_format` and `model` (a pattern of the upstream's model
    ids) narrow it. `replacement`, for `rename`: a beta's other name; for a field one of `header:NAME` (its value travels in
    that header), `beta:VALUE` (it stays, and that beta goes with it), `cache_control:last-block`, `role:user`.
    `pair`: for a beta the features of the body that go when it goes; for a field that passes, the betas of which one must
    go with it.
    """

    kind: str
    name: str
    upstream_format: str
    action: str
    model: str = ANY
    replacement: str = ""
    pair: tuple[str, ...] = ()
    note: str = ""
    source: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Edits:
    """What has to be done to a request on its way to one upstream.

    `betas` go along, in the client's order; `unknown` are those of the removed ones that no rule names. `renamed` has pairs
    (from, to). `removed_fields`, `moved` (feature, replacement) and `refused` (feature, capability class or "") are features
    that the body really has.
    """

    betas: tuple[str, ...] = ()
    removed_betas: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    removed_fields: tuple[str, ...] = ()
    moved: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def body_changes(self) -> bool:
        return bool(self.removed_fields or self.moved)


def problem_of(rule: Rule) -> str:
    """What is wrong with a rule, as a sentence, or nothing; for every door through which rules come."""
    if rule.kind not in KINDS:
        return f"{rule.kind!r} is not a kind of rule; choose beta or field."
    if rule.action not in ACTIONS:
        return f"{rule.action!r} is not an action; choose one of {', '.join(ACTIONS)}."
    if not rule.name or not rule.model:
        return "A rule needs a name and a model pattern."
    if rule.action == RENAME and not rule.replacement:
        return "A rule that renames says to what."
    if rule.kind == BETA and any(char in " ,\r\n" for char in rule.name + rule.replacement):
        return "A beta value has no space, comma or line break."
    if rule.kind == FIELD and rule.action == RENAME and not _known_replacement(rule.replacement):
        return "A field can be moved to header:NAME, beta:VALUE, cache_control:last-block or role:user."
    return ""


def _known_replacement(value: str) -> bool:
    if value in ("cache_control:last-block", "role:user"):
        return True
    where, _, name = value.partition(":")
    return where in ("header", "beta") and name.isascii() and bool(name) and name.replace("-", "").isalnum()


class Registry:
    """Rules, in order. Made once for a configuration and shared; it holds no state of a request."""

    def __init__(self, shipped: Sequence[Rule], rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._own_formats = frozenset(rule.upstream_format for rule in rules)
        self._own = _Index((rule, 1, index) for index, rule in enumerate(rules))
        self._all = _Index(
            [(rule, 0, index) for index, rule in enumerate(shipped)]
            + [(rule, 1, index) for index, rule in enumerate(rules)]
        )

    def touches(self, upstream_format: str) -> bool:
        """Whether requests between equal formats have to be looked into: an own rule may fit them."""
        return ANY in self._own_formats or upstream_format in self._own_formats

    def find(self, kind: str, name: str, upstream_format: str, model: str, client_format: str = "") -> Rule | None:
        """The rule that counts for one beta or feature; `client_format` equal to the upstream's asks own rules only."""
        index = self._own if client_format == upstream_format else self._all
        return index.find(kind, name, upstream_format, model)

    def apply(
        self, betas: Iterable[str], features: Iterable[str], *, upstream_format: str, model: str, client_format: str
    ) -> Edits:
        """What becomes of these betas and features on the way to `model` of an upstream."""
        work = _Work(self, upstream_format, model, client_format)
        for beta in betas:
            work.beta(beta)
        present = sorted(set(features))
        for feature in present:
            work.field(feature)
        return work.edits(present)


class _Index:
    """Rules by kind and, where the name is no pattern, by name, with their rank among rules that fit equally."""

    def __init__(self, rules: Iterable[tuple[Rule, int, int]]) -> None:
        self._exact: dict[tuple[str, str], list[tuple[tuple[int, ...], Rule]]] = {}
        self._patterns: dict[str, list[tuple[tuple[int, ...], Rule]]] = {BETA: [], FIELD: []}
        for rule, own, index in rules:
            rank = (_literal(rule.name), "*" not in rule.name, own, _literal(rule.model), index)
            if "*" in rule.name:
                self._patterns[rule.kind].append((rank, rule))
            else:
                self._exact.setdefault((rule.kind, rule.name), []).append((rank, rule))

    def find(self, kind: str, name: str, upstream_format: str, model: str) -> Rule | None:
        fitting = [
            (rank, rule)
            for rank, rule in self._exact.get((kind, name), [])
            if rule.upstream_format in (upstream_format, ANY) and matches(rule.model, model)
        ]
        fitting += [
            (rank, rule)
            for rank, rule in self._patterns[kind]
            if rule.upstream_format in (upstream_format, ANY)
            and matches(rule.name, name)
            and matches(rule.model, model)
        ]
        return max(fitting, key=lambda item: item[0])[1] if fitting else None


class _Work:
    """One run of the rules over one request."""

    def __init__(self, registry: Registry, upstream_format: str, model: str, client_format: str) -> None:
        self._registry = registry
        self._where = (upstream_format, model, client_format)
        self._passes_unknown = upstream_format in (ANTHROPIC, client_format)
        self._betas: dict[str, None] = {}
        self._removed: dict[str, tuple[str, ...]] = {}
        self._unknown: list[str] = []
        self._renamed: list[tuple[str, str]] = []
        self._kept_pairs: set[str] = set()
        self._gone: set[str] = set()
        self._explicit: set[str] = set()
        self._moved: list[tuple[str, str]] = []
        self._refused: list[tuple[str, str]] = []

    def beta(self, value: str) -> None:
        rule = self._registry.find(BETA, value, *self._where)
        action = rule.action if rule else (PASS if self._passes_unknown else DROP)
        pair = rule.pair if rule else ()
        if rule and action == RENAME:
            self._renamed.append((value, rule.replacement))
            self._betas[rule.replacement] = None
        elif action == PASS:
            self._betas[value] = None
        elif action == REFUSE:
            self._refused.append((value, f"beta_header:{value}"))
        else:
            self._removed[value] = pair
            if rule is None:
                self._unknown.append(value)
            return
        self._kept_pairs.update(pair)

    def field(self, feature: str) -> None:
        rule = self._registry.find(FIELD, feature, *self._where)
        if rule is None:
            return
        if rule.action == DROP or (rule.action == PASS and rule.pair and not self._has_beta(rule.pair)):
            self._gone.add(feature)
        elif rule.action == REFUSE:
            self._refused.append((feature, capability_of(feature)))
        elif rule.action == RENAME and rule.replacement.startswith("beta:"):
            self._betas[rule.replacement.removeprefix("beta:")] = None
        elif rule.action == RENAME:
            self._moved.append((feature, rule.replacement))
        elif rule.pair or rule.model != ANY or rule in self._registry.rules:
            self._explicit.add(feature)  # another beta holds it, or it was said of this model or by an administrator

    def _has_beta(self, patterns: tuple[str, ...]) -> bool:
        return any(matches(pattern, beta) for pattern in patterns for beta in self._betas)

    def edits(self, present: Sequence[str]) -> Edits:
        for pair in self._removed.values():
            for pattern in pair:
                if pattern not in self._kept_pairs:
                    self._gone.update(f for f in present if matches(pattern, f) and f not in self._explicit)
        return Edits(
            betas=tuple(self._betas),
            removed_betas=tuple(self._removed),
            unknown=tuple(self._unknown),
            renamed=tuple(self._renamed),
            removed_fields=tuple(feature for feature in present if feature in self._gone),
            moved=tuple(move for move in self._moved if move[0] not in self._gone),
            refused=tuple(self._refused),
        )


def _literal(pattern: str) -> int:
    return len(pattern) - pattern.count("*")


# The classes by which a client that repairs its own requests knows what to leave out; source: client 2.1.330.
_CAPABILITIES = (
    ("messages[].role=system", "mid_conv_system"),
    ("cache_control*", "cache_control_field"),
    ("output_config.format", "structured_outputs_unsupported"),
    ("output_config.effort", "effort_unsupported"),
)


def capability_of(feature: str) -> str:
    """The capability class that names a feature, or nothing."""
    return next((name for pattern, name in _CAPABILITIES if matches(pattern, feature)), "")
