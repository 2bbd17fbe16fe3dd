"""`manage.py load_demo`: a made-up organization with a quarter of requests, in an empty installation."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounting.management.base import GatewayCommand
from accounting.models import User
from gateway_project.telemetry import quiet
from routing.demo import SIGN_INS, SIZES, load_demo
from routing.quickstart import is_empty


class Command(GatewayCommand):
    help = "Fills an empty installation with a made-up organization, whose passwords are known; never where others sign in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--address", default="http://127.0.0.1:8000", help="where the development server will be")
        parser.add_argument("--again", action="store_true", help="no error if the installation is not empty")
        parser.add_argument("--size", choices=SIZES, default="full", help="how many requests: about 30,000 or 3,000")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.GATEWAY_PUBLIC_URL:
            raise CommandError(
                "GATEWAY_PUBLIC_URL is set, so others may reach this installation; the passwords of the demo are known."
            )
        if is_empty():
            quiet()
            self.stdout.write("Loading the demo; this takes up to a minute.")
            loaded = load_demo(options["address"], timezone.now(), SIZES[options["size"]])
            self.stdout.write(f"The demo is loaded, with {loaded.requests:,} requests.")
            self.stdout.write(f"A key to try: {loaded.secret.reveal()}")
            self._sign_ins()
        elif not options["again"]:
            raise CommandError("This installation is not empty; the demo is loaded into an empty one only.")
        elif is_demo():
            self._sign_ins()

    def _sign_ins(self) -> None:
        self.stdout.write("\nSign in as (everybody knows these passwords; let nobody else reach this server):\n")
        for each in SIGN_INS:
            self.stdout.write(f"  {each.who:32} {each.email:20} {each.password}")


def is_demo() -> bool:
    """Whether the demo's administrator is here, with the password that is known."""
    known = SIGN_INS[0]
    user = User.objects.filter(email=known.email).first()
    return user is not None and user.check_password(known.password)
