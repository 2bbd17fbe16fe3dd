"""Looks for what alert rules are about, and sends what waits."""

from typing import Any

from django.utils import timezone

from accounting.alerting.raising import look
from accounting.alerting.sending import send_due
from accounting.management.base import GatewayCommand


class Command(GatewayCommand):
    help = "Raises the alerts that are due and sends what waits, once; servers do so by themselves."

    def handle(self, *args: Any, **options: Any) -> None:
        raised = look(timezone.now())
        tried = send_due(timezone.now())
        self.stdout.write(f"{len(raised)} raised, {tried} sent or tried")
