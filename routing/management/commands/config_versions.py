"""`manage.py config_versions`: the latest versions of the routing configuration."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounting.management.base import GatewayCommand
from routing.models import ConfigVersion
from routing.versions.difference import read
from routing.versions.fleet import read_fleet
from routing.versions.wording import lines

MOST = 1_000


class Command(GatewayCommand):
    help = "Lists the versions of the routing configuration, newest first: when, who, why, and what changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=10, help=f"how many, at most {MOST} (default: 10)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["limit"] <= MOST:
            raise CommandError(f"--limit: a number from 1 to {MOST} is needed")
        for version in ConfigVersion.objects.all()[: options["limit"]]:
            self.stdout.write(f"{version.number}  {version.at:%Y-%m-%d %H:%M:%S} UTC  {version.actor}")
            if version.reason:
                self.stdout.write(f"    why: {version.reason}")
            for line in lines(read(version.changes), version.more_changes):
                self.stdout.write(f"    {line}")
        self.stderr.write(read_fleet(timezone.now()).sentence)
