"""The texts of upstream errors: what may be shown, what a client repairs itself by, what must never be seen. Pure.

Clouds write account ids, ARNs, project ids and host names into their messages. Clients, on the other hand, repair their
requests by certain sentences, and by the form `capability_rejected: CLASS`. Source: Claude Code 2.1.330, 2026-11.
"""

import re
from collections.abc import Sequence

_HIDDEN = "[removed]"
_SECRETS = (
    re.compile(r"\barn:[a-z0-9-]*:[^\s\"'<>,;)\]]*", re.IGNORECASE),
    re.compile(r"\b(?:https?|wss?|grpc)://[^\s\"'<>)\]]+", re.IGNORECASE),
    re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    re.compile(r"(?<=\bprojects/)[^\s/\"'<>,;)\]]+", re.IGNORECASE),
    re.compile(r"(?<=\bproject_number[:=])\s*['\"]?[\w-]+", re.IGNORECASE),
    re.compile(r"(?<=\bproject[ _]id[ :=])\s*['\"]?[a-z][\w:.-]+", re.IGNORECASE),
    re.compile(r"(?<=\bproject )['\"`]?(?=[\w:.-]*[\d-])[a-z0-9][\w:.-]+['\"`]?", re.IGNORECASE),
    re.compile(r"(?<=\bproject:)\s*['\"`]?[a-z0-9][\w:.-]+['\"`]?", re.IGNORECASE),
    re.compile(r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"),
    re.compile(
        r"\b(?:[a-z0-9_-]+\.)+(?:internal|local|localdomain|lan|corp|intranet|svc|amazonaws\.com(?:\.cn)?|googleapis\.com|api\.aws)\b"
        r"(?:[.:][\w.:-]*\w)?",
        re.IGNORECASE,
    ),
    re.compile(r"\blocalhost(?::\d+)?\b", re.IGNORECASE),
    re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.]*\d\.)"),
    re.compile(r"(?<![\w:])(?:[0-9a-f]{0,4}:){3,7}[0-9a-f]{0,4}(?:%\w+)?(?!\w)", re.IGNORECASE),
    re.compile(r"(?<![\d.])\d{12}(?![\d.]\d)\b"),
)
_LONGEST = 4_000
_BETA_VALUE = re.compile(r"\b[a-z0-9]+(?:-[a-z0-9]+)*-20\d\d-?\d\d-?\d\d\b")

# Sentences that pass word for word: Anthropic's own, and exactly two of Bedrock's.
_KEPT = (
    re.compile(r"prompt is too long: .*", re.DOTALL),
    re.compile(r"input length and `max_tokens` exceed context limit: .*", re.DOTALL),
    re.compile(r"Input is too long for requested model\."),
    re.compile(r"Input is too long\."),
)

_CLASSES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for name, pattern in (
        (
            "mid_conv_system",
            r"\brole\b.{0,40}\bsystem\b|\bsystem\b.{0,20}\brole\b|system (messages?|turns?) .{0,40}not",
        ),
        ("cache_control_field", r"\bcache_control\b"),
        ("thinking_signature", r"signature.{0,60}\bthinking\b|\bthinking\b.{0,60}signature|invalid .?signature"),
        (
            "thinking_type:adaptive",
            r"thinking\.type\.adaptive\b.{0,40}not|adaptive thinking .{0,20}not|[\"'`]adaptive[\"'`].{0,60}not",
        ),
        (
            "thinking_type:enabled",
            r"thinking\.type\.enabled\b.{0,40}not|[\"'`]enabled[\"'`].{0,60}not|thinking\.type\b.{0,40}\benabled\b",
        ),
        ("thinking_type:adaptive", r"thinking\.type\b.{0,40}\badaptive\b|\badaptive\b.{0,40}thinking"),
        ("structured_outputs_unsupported", r"output_config\.format|output_format|structured.outputs?|json_schema"),
        ("effort_unsupported", r"output_config\.effort|\beffort\b"),
        (
            "media_budget",
            r"too (many|much) (images?|documents?|media|pdf)|(images?|media|pdf pages?) .{0,60}(in total|per request|at most)",
        ),
        ("image_block", r"\bimages?\b"),
        ("document_block", r"\bdocuments?\b|\bpdf\b"),
        (
            "max_tokens_context_overflow",
            r"max_?tokens.{0,120}\b(exceeds?|context|limit|maximum)\b|maximum (output )?tokens",
        ),
        ("prompt_too_long", r"\btoo long\b|(prompt|input|context).{0,60}\b(exceeds?|longer|maximum|too large)\b"),
    )
)
_NAMELESS = re.compile(r"\binvalid beta flag", re.IGNORECASE)
_BETA_COMPLAINT = re.compile(r"\bbetas?\b|anthropic[-_]beta", re.IGNORECASE)


def scrub(text: str) -> str:
    """The text without ARNs, account and project ids, access key ids, addresses and host names; at most 4,000 characters."""
    text = text[:_LONGEST]
    for pattern in _SECRETS:
        text = pattern.sub(_HIDDEN, text)
    return text


def is_kept(message: str) -> bool:
    """Whether clients know this sentence word for word."""
    return any(pattern.fullmatch(message) for pattern in _KEPT)


def classify(message: str, betas: Sequence[str] = ()) -> str:
    """The capability class of a 400's text, or nothing. `betas` are the values that were sent."""
    bare = _BETA_VALUE.sub(" ", message)
    for beta in betas:
        bare = bare.replace(beta, " ")
    for name, pattern in _CLASSES:
        if pattern.search(bare):
            return name
    beta = rejected_beta(message, betas)
    return f"beta_header:{beta}" if beta else ""


def rejected_beta(message: str, betas: Sequence[str] = ()) -> str:
    """The beta value that a 400 complains about, or nothing where it does not tell.

    Amazon's own words name none ("invalid beta flag"; client, 2026-11): then it is the only one that was sent.
    """
    if not _BETA_COMPLAINT.search(message):
        return ""
    for beta in sorted(betas, key=len, reverse=True):
        if beta in message:
            return beta
    named = _BETA_VALUE.findall(message)
    if named:
        return str(named[0])
    return betas[0] if len(betas) == 1 and _NAMELESS.search(message) else ""


def translated(message: str, betas: Sequence[str] = ()) -> str:
    """A cloud's text of a 400 or 413 as a client of another format should see it; nothing if nothing is left to show."""
    if is_kept(message):
        return message
    name = classify(message, betas)
    return f"capability_rejected: {name}" if name else scrub(message)
