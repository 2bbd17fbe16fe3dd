"""What the pages copy: lines with a title, written for one reader."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounting.clients.pins import Pins, pins_for

ANTHROPIC, BEDROCK, VERTEX = "anthropic", "bedrock", "vertex"
FORMATS = {ANTHROPIC: _("Anthropic Messages"), BEDROCK: "Bedrock", VERTEX: "Vertex"}
NO_KEY = "PASTE_YOUR_KEY_HERE"


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom blocks are written: the address to use, the key's secret or what stands in its place, and the names of models
    that the key may ask for."""

    address: str
    secret: str = NO_KEY
    names: tuple[str, ...] = ()

    @property
    def pins(self) -> Pins:
        return pins_for(self.names)


@dataclass(frozen=True, slots=True)
class Block:
    """Lines to paste; `where` says into what, `note` what to know about them."""

    id: str
    title: str
    text: str
    where: str = ""
    note: str = ""


def exports(given: list[tuple[str, str]]) -> str:
    return "\n".join(f"export {name}={in_shell(value)}" for name, value in given)


def powershell(given: list[tuple[str, str]]) -> str:
    quoted = ((name, value.replace("'", "''")) for name, value in given)
    return "\n".join(f"$env:{name} = '{value}'" for name, value in quoted)


def in_shell(value: str) -> str:
    """A value in quotes. Imported keys and names of models can have any character."""
    return shlex.quote(value) if set(value) & set("\"'$`\\!") else f'"{value}"'


def as_json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False)
