"""How the fetching of providers' tokens goes, from a process's memory to the row that the console shows."""

from collections.abc import Mapping

from routing.models import CredentialRefresh, Provider
from routing.proxy.credentials import CredentialStatus


def store_refreshes(statuses: Mapping[int, CredentialStatus]) -> None:
    """Writes the status of each provider, by its id; one that has been deleted meanwhile is passed over."""
    known = set(Provider.objects.filter(pk__in=statuses).values_list("pk", flat=True))
    for provider, status in statuses.items():
        if provider not in known or status.ok is None or status.at is None:
            continue
        CredentialRefresh.objects.update_or_create(
            provider_id=provider,
            defaults={
                "ok": status.ok,
                "at": status.at,
                "error": status.error[:300],
                "failures": status.failures,
                "expires_at": status.expires_at,
            },
        )
