"""`manage.py explain`: what would become of a request, without sending anything."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from accounting.management.base import GatewayCommand
from accounting.selectors import find_record
from routing.explaining.decision import explain
from routing.explaining.explanation import Explanation
from routing.explaining.question import FORMATS, LARGEST_BODY, Question, Unaskable
from routing.explaining.rendering import as_json, as_text
from routing.explaining.sources import NoSuchKey, grant_of, sources
from routing.explaining.stored import question_of
from routing.formats.base import ANTHROPIC


class Command(GatewayCommand):
    help = "Explains what would become of a request: who, which limits, which target, which price. Sends nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--key", help="the prefix of the caller's key")
        parser.add_argument("--model", default="", help="the name that the client asks for")
        parser.add_argument("--format", choices=FORMATS, default=ANTHROPIC, help="what the client speaks")
        parser.add_argument("--stream", action="store_true", help="the client asks for a stream")
        parser.add_argument("--beta", action="append", default=[], help="a value of anthropic-beta; may be repeated")
        parser.add_argument("--session", default="", help="the client's session id")
        parser.add_argument("--body", help="a file with the request's body; - reads standard input")
        parser.add_argument("--request", help="the id of a stored request, in place of the others")
        parser.add_argument("--client-ip", default="", help="the client's address, for keys that are bound to some")
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        found = _explained(options)
        text = json.dumps(as_json(found), indent=2, ensure_ascii=False) if options["json"] else as_text(found)
        self.stdout.write(text)


def _explained(options: dict[str, Any]) -> Explanation:
    figures, directory = sources(timezone.now(), client_ip=options["client_ip"])
    prefix, question = _asked(options)
    if not prefix:
        raise CommandError("Whose request? Give --key with the prefix of a key.")
    try:
        return explain(question, grant_of(prefix, directory), figures)
    except (NoSuchKey, Unaskable) as error:
        raise CommandError(str(error)) from None


def _asked(options: dict[str, Any]) -> tuple[str, Question]:
    if options["request"]:
        record = find_record(options["request"])
        if record is None:
            raise CommandError(f"There is no stored request {options['request']}.")
        return options["key"] or record.key_prefix, question_of(record)
    question = Question(
        model=options["model"],
        format=options["format"],
        stream=options["stream"],
        betas=tuple(options["beta"]),
        session_id=options["session"],
        body=_body(options["body"]),
    )
    return options["key"] or "", question


def _body(name: str | None) -> bytes:
    if name is None:
        return b""
    if name == "-":
        return sys.stdin.buffer.read(LARGEST_BODY + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(LARGEST_BODY + 1)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
