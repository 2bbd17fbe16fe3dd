"""An explanation as JSON, whose names are a contract (docs/explain.md), and as lines for a terminal. No I/O."""

from typing import Any

from routing.explaining.explanation import CandidateLine, Explanation, LimitLine


def as_json(found: Explanation) -> dict[str, Any]:
    """The explanation as plain values, in a fixed order."""
    grant = found.grant
    return {
        "identity": {
            "team": grant.team,
            "project": grant.project,
            "key": grant.key,
            "key_prefix": grant.key_prefix,
            "kind": grant.kind,
            "user": grant.user,
            "tags": dict(grant.tags),
            "refusal": found.refusal,
        },
        "policy": {
            "allowed": found.reason != "model_not_allowed",
            "allowed_models": [list(names) for names in grant.allowed_models] or [["*"]],
            "allowed_ips": [str(network) for network in grant.allowed_ips],
        },
        "limits": [_limit(each) for each in found.limits],
        "asked": found.inbound.model,
        "format": found.inbound.format,
        "stream": found.inbound.stream,
        "alias": found.alias or None,
        "serving_alias": found.serving or None,
        "route": found.route or None,
        "strategy": found.strategy or None,
        "sticky_key": found.sticky or None,
        "condition": next((each.when for each in reversed(found.steps) if each.held), None),
        "conditions": [
            {
                "route": each.route,
                "number": each.number,
                "when": each.when,
                "leads_to": each.leads_to,
                "held": each.held,
                "missed": each.missed or None,
            }
            for each in found.steps
        ],
        "candidates": [_candidate(each) for each in found.candidates],
        "by_chance": found.by_chance,
        "betas": [{"name": each.name, "action": each.action, "sent_as": each.sent_as or None} for each in found.betas],
        "fields_removed": list(found.fields_removed),
        "price": found.price,
        "config_revision": found.revision,
        "live": found.live,
        "status": found.status,
        "reason": found.reason or None,
        "verdict": found.verdict,
    }


def _limit(line: LimitLine) -> dict[str, Any]:
    return {
        "scope": line.scope,
        "what": line.what,
        "limit": line.limit,
        "used": line.used,
        "remaining": line.remaining,
        "resets_at": line.resets_at or None,
        "hard": line.hard,
        "refuses": line.refuses,
    }


def _candidate(line: CandidateLine) -> dict[str, Any]:
    return {
        "provider": line.provider,
        "model": line.model,
        "tier": line.tier,
        "score": line.score,
        "share": line.share,
        "chosen": line.chosen,
        "reason": line.reason or None,
    }


def as_text(found: Explanation) -> str:
    """The explanation for a person at a terminal."""
    grant = found.grant
    who = " / ".join(part for part in (grant.team, grant.project, grant.key) if part)
    lines = [
        f"Verdict     {found.verdict}",
        f"Caller      {who} ({grant.key_prefix}…){f', {grant.user}' if grant.user else ''}",
        f"Asked       {found.inbound.model} in the {found.inbound.format} format{', streamed' if found.inbound.stream else ''}",
    ]
    if found.alias:
        served_by = f", served by its successor {found.serving}" if found.serving != found.alias else ""
        lines.append(f"Alias       {found.alias}{served_by}")
    for step in found.steps:
        word = "holds" if step.held else f"does not hold ({step.missed.replace('_', ' ')})"
        lines.append(f"Condition   {step.route}, {step.number}: {step.when} -> {step.leads_to}: {word}")
    if found.route:
        stick = f", sticks by {found.sticky}" if found.sticky else ""
        lines.append(f"Route       {found.route} ({found.strategy.replace('_', ' ')}{stick})")
    for place, line in enumerate(found.candidates, 1):
        lines.append(f"{'Target' if place == 1 else '':<12}{_candidate_text(line)}")
    if found.by_chance:
        lines.append("            Which of the first tier is asked is decided by chance, by the shares above.")
    for limit in found.limits:
        reset = f", until {limit.resets_at}" if limit.resets_at else ""
        word = " REFUSES" if limit.refuses else ""
        use = f"{limit.used} of {limit.limit} used" if limit.remaining else f"{limit.limit}; its use is not known here"
        lines.append(f"Limit       {limit.scope}: {limit.what}: {use}{reset}{word}")
    for beta in found.betas:
        lines.append(
            f"Beta        {beta.name}: {beta.action}{f' as {beta.sent_as}' if beta.action == 'renamed' else ''}"
        )
    if found.price is not None:
        price = found.price
        lines.append(
            f"Price       {price['input']} in, {price['output']} out, {price['cache_read']} cache read "
            f"($ per million tokens; row {price['id'] if price['id'] is not None else 'unknown model'})"
        )
    lines.append(
        f"As of       configuration {found.revision}{'' if found.live else ', without the live figures of a gateway'}"
    )
    return "\n".join(lines)


def _candidate_text(line: CandidateLine) -> str:
    mark = "→" if line.chosen else " "
    share = f" {line.share:.0f} %" if line.share is not None else ""
    return f"{mark} tier {line.tier} {line.provider}: {line.model}{share}{f' — {line.reason}' if line.reason else ''}"
