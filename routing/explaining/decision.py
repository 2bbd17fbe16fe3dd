"""Puts an explanation together. Pure: live figures, time and prices are passed in as `Sources`.

The decision itself is `routing.decide`'s, the gateway's own; what is added here is who asks, the limits and the price.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accounting.access.directory import refusal_of
from accounting.access.grant import Grant
from routing.condition_lines import when_text
from routing.decide import Decision, Looked, decide
from routing.explaining.explanation import BetaLine, CandidateLine, Explanation, LimitLine, Step
from routing.explaining.question import Question
from routing.formats.base import Inbound
from routing.formats.errors import render_error
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.translate import to_upstream
from routing.proxy.errors import GatewayError, key_refused
from routing.resolve import Resolution
from routing.selectors import route_shares
from routing.snapshot import Snapshot
from routing.targets import HealthView, TargetConf


@dataclass(frozen=True, slots=True)
class Sources:
    """Where an explanation gets its figures. `limits` gives the caller's limits for a request, `price` the row in force for a
    provider's model; `live` says that health and limits are those of a running gateway. `now` is health's clock."""

    snapshot: Snapshot
    health: HealthView
    now: float
    unix: float
    limits: Callable[[Grant, Inbound, Sequence[TargetConf]], tuple[LimitLine, ...]]
    price: Callable[[str, str], dict[str, Any] | None]
    live: bool
    client_ip: str = ""


def explain(question: Question, grant: Grant, sources: Sources) -> Explanation:
    """What would become of this request, now, for this caller. Raises `Unaskable` for what is no request."""
    inbound = question.inbound()
    refused = _key_refusal(grant, sources)
    # Chance is held at its middle: scores then differ by weight alone, and shares say the rest.
    decision = decide(
        inbound, grant, sources.snapshot, sources.health, now=sources.now, unix=sources.unix, random=lambda: 0.5
    )
    resolution = decision.resolution or Resolution(())
    targets = [each.target for each in resolution.candidates]
    able = decision.routed.route.targets if decision.routed else ()
    limits = sources.limits(grant, inbound, able) if decision.routed else ()  # asked once the name is known
    limit = next((each for each in limits if each.refuses), None)
    error = refused or (decision.refusal if decision.routed is None or limit is None else None)
    served = error is None and limit is None
    lines = _candidates(decision, served)
    chosen = targets[0] if served and targets else None
    betas, fields = _betas(inbound, chosen, sources.snapshot)
    status, reason, verdict = _verdict(inbound, error, limit, chosen)
    routed = decision.routed
    return Explanation(
        grant=grant,
        inbound=inbound,
        refusal=refused.reason if refused else "",
        alias=routed.alias.name if routed else "",
        serving=routed.serving.name if routed else "",
        route=routed.route.name if routed else "",
        strategy=routed.route.strategy if routed else "",
        sticky=routed.sticky_key if routed else "",
        steps=tuple(_step(each) for each in routed.choice.looked) if routed else (),
        candidates=lines,
        betas=betas,
        fields_removed=fields,
        limits=limits,
        price=sources.price(chosen.provider.name, chosen.model) if chosen else None,
        by_chance=_by_chance(decision),
        revision=sources.snapshot.revision,
        live=sources.live,
        status=status,
        reason=reason,
        verdict=verdict,
    )


def _key_refusal(grant: Grant, sources: Sources) -> GatewayError | None:
    address = sources.client_ip or (str(grant.allowed_ips[0].network_address) if grant.allowed_ips else "")
    reason = refusal_of(grant, now=sources.unix, client_ip=address)
    return key_refused(reason) if reason else None


def _candidates(decision: Decision, served: bool) -> tuple[CandidateLine, ...]:
    if decision.routed is None:
        return ()
    route, resolution = decision.routed.route, decision.resolution or Resolution(())
    shares = {(each.provider, each.model, each.tier): each.percent for each in route_shares(route)}
    lines: list[CandidateLine] = []
    for place, candidate in enumerate(resolution.candidates):
        target = candidate.target
        share = shares.get((target.provider.name, target.model, target.tier))
        reason = "" if place == 0 else _why_later(target, resolution.candidates[0].target, route.strategy)
        if place == 0 and not served:
            reason = "the request is refused before"
        score = round(candidate.score, 6)
        lines.append(CandidateLine(*_names(target), score, share, served and place == 0, reason))
    passed = {each[0].key: each for each in resolution.passed_over}
    lines += [CandidateLine(*_names(target), None, None, False, reason) for target, reason in passed.values()]
    known = {(line.provider, line.model) for line in lines}
    if decision.refusal is not None:
        lines += [
            CandidateLine(*_names(target), None, None, False, decision.refusal.message)
            for target in route.targets
            if target.key not in known
        ]
    lines += [
        CandidateLine(each.provider, each.model, each.tier, None, None, False, each.reason) for each in route.left_out
    ]
    return tuple(lines)


def _names(target: TargetConf) -> tuple[str, str, int]:
    return target.provider.name, target.model, target.tier


def _why_later(target: TargetConf, first: TargetConf, strategy: str) -> str:
    if target.tier != first.tier:
        return f"asked only when none of tier {first.tier} can serve"
    return {
        "priority": "listed later",
        "latency": "slower to its first byte, or not placed here",
        "least_busy": "busier, or not placed here",
    }.get(strategy, "this request is placed on another target of the tier")


def _by_chance(decision: Decision) -> bool:
    routed, resolution = decision.routed, decision.resolution
    if routed is None or resolution is None or len(resolution.candidates) < 2 or routed.sticky_key:
        return False
    first, second = resolution.candidates[:2]
    return routed.route.strategy in ("weighted", "least_busy") and first.target.tier == second.target.tier


def _betas(
    inbound: Inbound, target: TargetConf | None, snapshot: Snapshot
) -> tuple[tuple[BetaLine, ...], tuple[str, ...]]:
    if target is None:
        return (), ()
    provider = target.provider
    try:
        outbound = to_upstream(
            inbound,
            upstream_format=provider.format,
            upstream_model=target.model,
            registry=snapshot.registry,
            provider_region=provider.region,
            provider_project=provider.project,
            secret=b"",
            query=b"",
        )
    except (NotBridgeable, BadBody):
        return (), ()
    renamed = dict(outbound.betas_renamed)
    lines = [BetaLine(name, "removed") for name in outbound.betas_removed]
    for name in inbound.betas:
        if name in outbound.betas_removed:
            continue
        lines.append(BetaLine(name, "renamed", renamed[name]) if name in renamed else BetaLine(name, "sent", name))
    return tuple(lines), outbound.fields_removed


def _verdict(
    inbound: Inbound, error: GatewayError | None, limit: LimitLine | None, chosen: TargetConf | None
) -> tuple[int, str, str]:
    if error is not None:
        status = render_error(inbound.format, error, "")[0]  # formats have their own statuses
        return status, error.reason, f"refused with {status}: {error.message}"
    if limit is not None:
        return 429, limit.reason, f"refused with 429: {limit.scope}: {limit.what}, {limit.limit}, is used up."
    assert chosen is not None
    return 200, "", f"served: {inbound.model} goes to {chosen.provider.name} as {chosen.model}."


def _step(looked: Looked) -> Step:
    condition = looked.condition
    return Step(
        looked.on, looked.number + 1, when_text(condition.when), condition.route, not looked.missed, looked.missed
    )
