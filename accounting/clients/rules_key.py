"""Rules about the key: which variable carries it, whether it is one of this gateway's, and whether it works."""

from collections.abc import Iterator

from django.utils.translation import gettext as _

from accounting.access.secrets import KEY_MARK, TOKEN_MARK, is_well_formed
from accounting.clients.blocks import ANTHROPIC, BEDROCK, NO_KEY, VERTEX
from accounting.clients.findings import BAD, GOOD, INFO, WARN, Facts, Finding, KeyFact, about
from accounting.clients.pasted import MASK, SECRETS, Given, Pasted
from accounting.clients.rules_address import mode_of

TOKEN, API_KEY, BEARER = SECRETS
SKIPS = {BEDROCK: "CLAUDE_CODE_SKIP_BEDROCK_AUTH", VERTEX: "CLAUDE_CODE_SKIP_VERTEX_AUTH"}


def carriers(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    """Which variables carry a key in this mode."""
    mode = mode_of(pasted)
    yield from {ANTHROPIC: _messages, BEDROCK: _bedrock, VERTEX: _vertex}[mode](pasted)


def secrets(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    """Whose each key is. Only what a keyed hash finds is said of it, never the key."""
    for given in pasted.every():
        if given.name in SECRETS and given.value:
            yield _about_secret(given, facts)


def _messages(pasted: Pasted) -> Iterator[Finding]:
    token, key, helper = pasted.get(TOKEN), pasted.get(API_KEY), pasted.helper
    if token and key and token.value != key.value:
        text = _("ANTHROPIC_AUTH_TOKEN and ANTHROPIC_API_KEY are both set and differ: both are sent, and the first that is a key "
                 "of this gateway counts. Keep one of them.")  # fmt: skip
        yield about(WARN, key, text)
    elif token and key:
        yield about(INFO, key, _("The same key twice; one of the two variables is enough."))
    if helper and (token or key):
        text = _("apiKeyHelper and a key in a variable are both set; keep one, so that it is clear which key is used.")
        yield about(WARN, helper, text)
    if not (token or key or helper or pasted.get("ANTHROPIC_CUSTOM_HEADERS")):
        text = _(
            "No key: set ANTHROPIC_AUTH_TOKEN, or apiKeyHelper in the settings. Claude Code asks for a sign-in otherwise."
        )
        yield Finding(BAD, text, TOKEN)
    bearer = pasted.get(BEARER)
    if bearer:
        text = _("This is only sent with CLAUDE_CODE_USE_BEDROCK=1, which is not set.")
        yield about(WARN, bearer, text)


def _bedrock(pasted: Pasted) -> Iterator[Finding]:
    token, key, bearer = pasted.get(TOKEN), pasted.get(API_KEY), pasted.get(BEARER)
    skip = pasted.get(SKIPS[BEDROCK]) if pasted.is_on(SKIPS[BEDROCK]) else None
    if bearer and skip:
        text = _("With this, calls for profiles and token counts carry no key and are refused. Leave it out: "
                 "AWS_BEARER_TOKEN_BEDROCK is enough by itself.")  # fmt: skip
        yield about(WARN, skip, text)
    if bearer:
        return
    if token and not skip:
        text = _("Without CLAUDE_CODE_SKIP_BEDROCK_AUTH=1 this is not sent; Claude Code looks for AWS keys instead. "
                 "Better: put the key into AWS_BEARER_TOKEN_BEDROCK and leave both out.")  # fmt: skip
        yield about(BAD, token, text)
    elif token:
        text = _("Only inference carries this key; calls for profiles and token counts come without one and are refused. "
                 "AWS_BEARER_TOKEN_BEDROCK is sent with every call.")  # fmt: skip
        yield about(WARN, token, text)
    elif not pasted.helper and not pasted.get("ANTHROPIC_CUSTOM_HEADERS"):
        yield from _bedrock_without_key(pasted, key)


def _bedrock_without_key(pasted: Pasted, key: Given | None) -> Iterator[Finding]:
    signing = pasted.get("AWS_ACCESS_KEY_ID") or pasted.get("AWS_PROFILE")
    if key:
        yield about(BAD, key, _("This is not sent in Bedrock mode. Put the key into AWS_BEARER_TOKEN_BEDROCK."))
    if signing:
        text = _(
            "Requests signed with AWS keys are refused: the gateway does not have them. "
            "Put its key into AWS_BEARER_TOKEN_BEDROCK."
        )
        yield about(BAD, signing, text)
    if not key and not signing:
        yield Finding(BAD, _("No key: set AWS_BEARER_TOKEN_BEDROCK."), BEARER)


def _vertex(pasted: Pasted) -> Iterator[Finding]:
    token, key = pasted.get(TOKEN), pasted.get(API_KEY)
    if not pasted.is_on(SKIPS[VERTEX]):
        text = _("Without %(name)s=1 Claude Code asks Google for a token, which this gateway does not know.")
        yield Finding(BAD, text % {"name": SKIPS[VERTEX]}, SKIPS[VERTEX])
    if not (token or key or pasted.helper or pasted.get("ANTHROPIC_CUSTOM_HEADERS")):
        yield Finding(BAD, _("No key: set ANTHROPIC_AUTH_TOKEN."), TOKEN)
    if token and key and token.value != key.value:
        yield about(WARN, key, _("Two different keys are set; keep one of them."))


def _about_secret(given: Given, facts: Facts) -> Finding:
    value, known = given.value, facts.keys.get(given.value)
    if value in (MASK, NO_KEY) or value.startswith("PASTE_"):
        return about(INFO, given, _("The key itself is not here, so it is not looked at."))
    if known is not None:
        return _about_known(given, known)
    if value.lower().startswith("bearer "):
        return about(BAD, given, _("Only the key, without “Bearer” before it: Claude Code adds that."))
    if value != value.strip() or any(char.isspace() for char in value) or value[:1] in "\"'":
        return about(BAD, given, _("The key has spaces or quotes in it or around it; take them away."))
    if value.startswith(TOKEN_MARK):
        text = _("This is a token of the REST API. It does not open the gateway; make a key for that.")
        return about(BAD, given, text)
    if value.startswith("sk-ant-"):
        return about(
            BAD, given, _("This is a key of Anthropic's own, which is not known here. Use a key of this team.")
        )
    if value.startswith(KEY_MARK) and not is_well_formed(value):
        return about(BAD, given, _("This key is incomplete or mistyped: its checksum does not fit. Copy all of it."))
    return about(
        BAD, given, _("This is no key of this team. Compare its first characters with those on the page of keys.")
    )


def _about_known(given: Given, known: KeyFact) -> Finding:
    named = {"name": known.name}
    refused = {
        "revoked": _("The key %(name)s is revoked: requests with it are refused. Make another one."),
        "expired": _(
            "The key %(name)s has expired: requests with it are refused. Make another one, or give it a later end."
        ),
        "disabled": _(
            "The key %(name)s, its project or its owner is disabled: requests with it are refused until somebody enables that."
        ),
    }
    if known.state in refused:
        return about(BAD, given, refused[known.state] % named)
    if known.is_old_secret:
        text = _("This is the old secret of the key %(name)s, which was rotated and stops soon. Put the new one here.")
        return about(WARN, given, text % named)
    return about(GOOD, given, _("The key %(name)s, which is in use.") % named)
