"""Makes a virtual key and prints its secret, once, alone on standard output."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounting.audit.changes import Actor, changing
from accounting.management.base import GatewayCommand
from accounting.models import Project, User, VirtualKey
from accounting.services import create_key


class Command(GatewayCommand):
    help = "Makes a virtual key and prints its secret, once, alone on standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--team", required=True)
        parser.add_argument("--project", required=True)
        parser.add_argument("--name", required=True)
        parser.add_argument("--owner", help="e-mail address; makes the key a personal one")
        parser.add_argument("--expires", type=point_in_time, help="a date or a time, ISO 8601, in UTC unless it says")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["team"], options["project"])
        owner = find_owner(options["owner"]) if options["owner"] else None
        if options["expires"] and options["expires"] <= timezone.now():
            raise CommandError("--expires: this time is over; the key could never be used.")
        with changing(Actor("create_key", "command")) as change:
            _, secret = create_key(
                change,
                project,
                options["name"],
                kind=VirtualKey.Kind.PERSONAL if owner else VirtualKey.Kind.SERVICE,
                owner=owner,
                expires_at=options["expires"],
            )
        self.stdout.write(secret.reveal())


def find_project(team: str, name: str) -> Project:
    project = Project.objects.filter(team__name=team, name=name).first()
    if project is None:
        raise CommandError(f"There is no project {name} in a team {team}.")
    return project


def find_owner(email: str) -> User:
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        raise CommandError(f"There is no user {email}.")
    return user


def point_in_time(text: str) -> datetime:
    """A time, in UTC where the text does not say; a date is its beginning."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--expires: {text!r} is not a date.") from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
