"""Makes an administrator of the console, or makes a known person one."""

import sys
from argparse import ArgumentParser
from getpass import getpass
from typing import Any

from django.core.management.base import CommandError

from accounting.audit.changes import Actor, changing
from accounting.management.base import GatewayCommand
from accounting.services import create_admin


class Command(GatewayCommand):
    help = "Makes an administrator of the console; a known person becomes one and gets the new password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password's line from standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        password = _from_standard_input() if options["password_stdin"] else _asked()
        with changing(Actor("create_admin", "command")) as change:
            user = create_admin(change, options["email"], password)
        self.stderr.write(f"{user.email} is an administrator")


def _from_standard_input() -> str:
    return _given(sys.stdin.readline().rstrip("\r\n"))


def _asked() -> str:
    if not _at_a_terminal():
        raise CommandError("Nobody is there to type a password; give it with --password-stdin.")
    password = _given(getpass("Password: "))
    if getpass("Again: ") != password:
        raise CommandError("The two passwords differ.")
    return password


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _given(password: str) -> str:
    if not password:
        raise CommandError("The password is empty.")
    return password
