"""The health of targets as running processes last wrote it down, for those who explain without being one of them."""

from collections.abc import Iterable
from datetime import datetime

from routing.target_status import ShownTarget, read_targets
from routing.targets import BreakerState, TargetConf, TargetHealth

LONG = 30.0  # seconds after which a client may ask again for what has no end in sight
_UNKNOWN = TargetHealth()
_STATES: dict[str, BreakerState] = {"open": "open", "half open": "half_open"}


class RecordedHealth:
    """A picture of all targets. Its clock is Unix time."""

    def __init__(self, targets: Iterable[ShownTarget]) -> None:
        self._targets = {(each.provider, each.model): each for each in targets}

    def look(self, target: TargetConf, now: float) -> TargetHealth:
        shown = self._targets.get(target.key)
        if shown is None:
            return _UNKNOWN
        state: BreakerState = _STATES.get(shown.state, "closed")
        ttft = shown.p50_ms / 1000 if shown.p50_ms is not None else None
        reason, until, barred = _against(shown, target, now)
        return TargetHealth(state, reason, until, False, shown.in_flight, ttft, barred=barred)


def recorded_health(now: datetime) -> RecordedHealth:
    """What is written down now."""
    return RecordedHealth(read_targets(now))


def _against(shown: ShownTarget, target: TargetConf, now: float) -> tuple[str, float, bool]:
    """The reason against a call, when it ends, and whether the target is barred."""
    ends = shown.until.timestamp() if shown.until else now + LONG
    if shown.drained:
        return "it is drained by an administrator", now + LONG, True
    if shown.state == "rests":
        return "an administrator lets it rest", ends, True
    if shown.state == "open" and ends > now:
        return f"its breaker is open for {max(ends - now, 0.1):.1f} s more (last failure: {shown.why})", ends, False
    if shown.state == "resting" and ends > now:
        return f"it asked for a rest of {max(ends - now, 0.1):.1f} s more", ends, False
    if target.max_concurrent and shown.in_flight >= target.max_concurrent * max(1, shown.reporting):
        return f"it is full: {shown.in_flight} calls are under way", now + 1.0, True
    return "", 0.0, False
