"""The rows of the compatibility registry that ship with the gateway: data, no code that decides.

Evidence in `source`: *client* was seen on the wire from Claude Code 2.1.330 (2026-11), *vendor* stands in a vendor's
documentation, *reported* in a third party's; *unverified* rows are careful guesses. An administrator's rule beats a row.
"""

from collections.abc import Iterator

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from routing.formats.compat import ANY, BETA, DROP, FIELD, PASS, REFUSE, RENAME, Rule

_DATE = "2026-11-23"
_CLIENT, _VENDOR, _REPORTED = "client", "vendor", "reported"
_UNVERIFIED = "unverified"
_AWAY = (BEDROCK, VERTEX)
_SEARCH = "tool-search-tool-2025-10-19"
_ADVANCED = "advanced-tool-use-2025-11-20"
_EXAMPLES = "tool-examples-2025-10-29"
# Opus 4.8 and Fable 5 are documented; that the other models of the same generation follow them is a guess.
MODERN = ("*opus-4-8*", "*opus-5*", "*fable-*", "*mythos-*", "*sonnet-5*", "*haiku-5*")


def _rule(
    kind: str,
    name: str,
    upstream: str,
    action: str,
    source: str,
    *,
    model: str = ANY,
    replacement: str = "",
    pair: tuple[str, ...] = (),
    note: str = "",
) -> Rule:
    return Rule(kind, name, upstream, action, model, replacement, pair, note, source, _DATE)


def _renamed_betas() -> Iterator[Rule]:
    note = "The clouds know tool search by its older name."
    for upstream in _AWAY:
        yield _rule(BETA, _ADVANCED, upstream, RENAME, _CLIENT, replacement=_SEARCH, note=note)
        yield _rule(BETA, _SEARCH, upstream, PASS, _CLIENT)
        yield _rule(BETA, _EXAMPLES, upstream, PASS, _VENDOR)
        yield _rule(FIELD, "tools[].input_examples", upstream, RENAME, _VENDOR, replacement=f"beta:{_EXAMPLES}")
    for name in (_SEARCH, _EXAMPLES):
        yield _rule(
            BETA, name, ANTHROPIC, RENAME, _CLIENT, replacement=_ADVANCED, note="Anthropic has one beta for both."
        )


def _passing_betas() -> Iterator[Rule]:
    for name in ("interleaved-thinking-2025-05-14", "context-1m-2025-08-07", "thinking-token-count-2026-05-13"):
        for upstream in _AWAY:
            yield _rule(BETA, name, upstream, PASS, _CLIENT)
    for name in ("claude-code-20250219", "effort-2025-11-24"):
        yield _rule(BETA, name, BEDROCK, DROP, _CLIENT, note="Claude Code never puts it into the body of an inference.")
        yield _rule(BETA, name, VERTEX, PASS, _CLIENT)
    for upstream in _AWAY:
        yield _rule(BETA, "oauth-2025-04-20", upstream, DROP, _CLIENT, note="Belongs to a sign-in of the vendor's own.")
    yield _rule(BETA, "web-search-2025-03-05", BEDROCK, DROP, _VENDOR, note="Bedrock has no web search.")
    yield _rule(BETA, "web-search-2025-03-05", VERTEX, PASS, _CLIENT)


# Documented for Bedrock per model: a rule with the action pass and a model pattern turns one on.
_PER_MODEL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("context-management-2025-06-27", ("context_management",)),
    ("compact-2026-01-12", ("context_management", "compaction")),
    ("fine-grained-tool-streaming-2025-05-14", ("tools[].eager_input_streaming",)),
    ("computer-use-*", ("tools[].type=computer_*",)),
    ("token-efficient-tools-2025-02-19", ()),
)
_ANTHROPIC_ONLY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("per-turn-control-2026-07-01", ("messages[].output_config",)),
    ("mid-conversation-tool-changes-2026-07-01", ()),
    ("extended-cache-ttl-2025-04-11", ()),  # the lifetime itself stays: both clouds take `ttl`
    ("prompt-caching-scope-2026-01-05", ("cache_control.scope",)),
    ("structured-outputs-*", ("output_format",)),  # `output_config.format` stays: both clouds take it without a beta
    ("fast-mode-2026-02-01", ("speed",)),
    ("files-api-*", ()),  # a `file` source is refused by its own row
    ("skills-*", ("container",)),
    ("mcp-*", ("mcp_servers",)),
    ("server-side-fallback-*", ("fallbacks", "fallback_credit_token")),
    ("request-tag*", ("tags",)),
)


def _dropped_betas() -> Iterator[Rule]:
    for name, pair in _PER_MODEL:
        note = "Documented for some models: allow it by a rule with their pattern."
        yield _rule(BETA, name, BEDROCK, DROP, _REPORTED, pair=pair, note=note)
        yield _rule(BETA, name, VERTEX, DROP, _UNVERIFIED, pair=pair)
    for name, pair in _ANTHROPIC_ONLY:
        for upstream in _AWAY:
            yield _rule(BETA, name, upstream, DROP, _CLIENT, pair=pair, note="Known to Anthropic's own API only.")


_NOT_ON_CLOUDS = (
    *("tags", "workspace_id", "billing_policy", "thread", "container", "mcp_servers", "fallbacks"),
    *("fallback_credit_token", "diagnostics", "inference_geo", "user_profile_id", "service_tier", "speed"),
)


def _top_fields() -> Iterator[Rule]:
    for upstream in _AWAY:
        for name in _NOT_ON_CLOUDS:
            yield _rule(FIELD, name, upstream, DROP, _CLIENT)
        note = "A client that hears this runs its own check."
        yield _rule(FIELD, "safeguards", upstream, REFUSE, _CLIENT, note=note)
        pair = ("context-management-*", "compact-*")
        yield _rule(FIELD, "context_management", upstream, PASS, _CLIENT, pair=pair, note="Only with its beta.")
        yield _rule(FIELD, "compaction", upstream, PASS, _CLIENT, pair=("compact-*",), note="Only with its beta.")
        for name in ("output_config.effort", "metadata", "thinking.display"):
            yield _rule(FIELD, name, upstream, PASS, _CLIENT)
        yield _rule(FIELD, "output_config.format", upstream, PASS, _VENDOR)
    yield _rule(FIELD, "speed", VERTEX, PASS, _CLIENT, model="*fable-5-2*", note="Fast mode is sold for this model.")
    note = "Older Bedrock models know it on blocks only."
    yield _rule(FIELD, "cache_control", BEDROCK, RENAME, _VENDOR, replacement="cache_control:last-block", note=note)
    yield _rule(FIELD, "cache_control", VERTEX, PASS, _VENDOR)


def _nested_fields() -> Iterator[Rule]:
    for upstream in _AWAY:
        for name in ("cache_control.type", "cache_control.ttl"):
            yield _rule(FIELD, name, upstream, PASS, _CLIENT)
        yield _rule(FIELD, "cache_control.*", upstream, DROP, _CLIENT, note="Only type and ttl are known there.")
        yield _rule(FIELD, "messages[].output_config", upstream, DROP, _CLIENT)
        pair = ("fine-grained-tool-streaming-*",)
        yield _rule(FIELD, "tools[].eager_input_streaming", upstream, PASS, _UNVERIFIED, pair=pair)
        note = "Older models know no system turns; the text joins the next user turn."
        yield _rule(FIELD, "messages[].role=system", upstream, RENAME, _VENDOR, replacement="role:user", note=note)
        for model in MODERN:
            yield _rule(FIELD, "messages[].role=system", upstream, PASS, _VENDOR, model=model)


_CLIENT_TOOLS = ("custom", "bash_*", "text_editor_*", "computer_*", "memory_*", "tool_search_tool_*")


def _refused_features() -> Iterator[Rule]:
    for upstream in _AWAY:
        yield _rule(FIELD, "source.type=url", upstream, REFUSE, _VENDOR, note="Send the data itself, as base64.")
        yield _rule(FIELD, "source.type=file", upstream, REFUSE, _VENDOR, note="Files live at Anthropic's own API.")
        yield _rule(FIELD, "tools[].type=*", upstream, REFUSE, _VENDOR, note="Tools that the vendor's servers run.")
        for name in _CLIENT_TOOLS:
            yield _rule(FIELD, f"tools[].type={name}", upstream, PASS, _VENDOR, note="The client runs it.")
    yield _rule(FIELD, "tools[].type=web_search_*", VERTEX, PASS, _VENDOR)


SHIPPED: tuple[Rule, ...] = (
    *_renamed_betas(),
    *_passing_betas(),
    *_dropped_betas(),
    *_top_fields(),
    *_nested_fields(),
    *_refused_features(),
)
