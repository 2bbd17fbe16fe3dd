"""Makes a token of the REST API and prints it, once, alone on standard output."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounting.audit.changes import Actor, changing
from accounting.management.base import GatewayCommand
from accounting.models import ApiToken, Membership, Team
from accounting.services import create_api_token


class Command(GatewayCommand):
    help = "Makes a token of the REST API and prints it, once, alone on standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True)
        scope = parser.add_mutually_exclusive_group(required=True)
        scope.add_argument("--admin", action="store_true", help="may read and change everything")
        scope.add_argument("--auditor", action="store_true", help="may read everything")
        scope.add_argument("--team", help="may do in one team what --role may")
        parser.add_argument("--role", choices=Membership.Role.values)

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["team"]) != bool(options["role"]):
            raise CommandError("--team and --role go together.")
        role = ApiToken.Role.ADMIN if options["admin"] else ApiToken.Role.AUDITOR
        team = None
        if options["team"]:
            role, team = ApiToken.Role.TEAM, Team.objects.filter(name=options["team"]).first()
            if team is None:
                raise CommandError(f"There is no team {options['team']}.")
        with changing(Actor("create_api_token", "command")) as change:
            _, secret = create_api_token(change, options["name"], role=role, team=team, team_role=options["role"] or "")
        self.stdout.write(secret.reveal())
