"""The five lights of the overview: targets, requests, records, processes, jobs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse

from gateway_project.console.running import LONG_QUEUE, Running
from routing.target_status import ShownTarget
from routing.versions.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Light:
    """`word` is what is the matter, in a few words; `tone` is good, warn, bad, or calm where nothing is known."""

    name: str
    word: str
    tone: str
    address: str


def lights(targets: Sequence[ShownTarget], requests: int, errors: int, running: Running, fleet: Fleet) -> list[Light]:
    return [
        _targets(targets),
        _requests(requests, errors),
        _records(running),
        _processes(fleet),
        _jobs(running),
    ]


def _targets(targets: Sequence[ShownTarget]) -> Light:
    there = reverse("admin:routing_targetcontrol_changelist")
    used = [each for each in targets if each.enabled and each.routes]
    if not used:
        return Light("Targets", "none", "calm", there)
    bad = sum(1 for each in used if each.tone == "bad")
    away = sum(1 for each in used if each.tone == "warn")
    if bad:
        return Light("Targets", f"{bad} of {len(used)} failing", "bad", there)
    if away:
        return Light("Targets", f"{away} of {len(used)} resting", "warn", there)
    known = any(each.reporting for each in used)
    return Light(
        "Targets", f"{len(used)} of {len(used)} well" if known else "no calls yet", "good" if known else "calm", there
    )


def _requests(requests: int, errors: int) -> Light:
    there = f"{reverse('admin:accounting_requestrecord_changelist')}?when=hour"
    if not requests:
        return Light("Requests", "none in the last hour", "calm", there)
    share = 100 * errors / requests
    tone = "bad" if share >= 50 else "warn" if share >= 5 else "good"
    return Light("Requests", f"{share:.1f} % failed in the last hour" if errors else "none failed", tone, there)


def _records(running: Running) -> Light:
    job = next(each for each in running.jobs if each.name == "records")
    if not running.processes:
        return Light("Records", "no process", "calm", "#jobs")
    if job.tone == "bad":
        return Light("Records", f"cannot be stored, {running.queue:,} wait", "bad", "#jobs")
    if running.queue > LONG_QUEUE:
        return Light("Records", f"{running.queue:,} wait", "warn", "#jobs")
    return Light("Records", f"{running.queue:,} wait" if running.queue else "all stored", "good", "#jobs")


def _processes(fleet: Fleet) -> Light:
    count, behind = len(fleet.processes), len(fleet.behind)
    if not count:
        return Light("Processes", "none is running", "calm", "#processes")
    if behind:
        return Light("Processes", f"{behind} of {count} behind", "warn", "#processes")
    return Light("Processes", f"{count} on version {fleet.current}", "good", "#processes")


def _jobs(running: Running) -> Light:
    if not running.processes:
        return Light("Jobs", "no process", "calm", "#jobs")
    failing = running.failing
    if not failing:
        return Light("Jobs", "all fine", "good", "#jobs")
    tone = "bad" if any(job.tone == "bad" for job in failing) else "warn"
    return Light("Jobs", f"{len(failing)} of {len(running.jobs)} want a look", tone, "#jobs")
