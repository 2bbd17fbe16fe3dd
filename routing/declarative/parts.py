"""The two parts of a configuration file: what versions and approval are about, and the rest."""

from dataclasses import dataclass
from typing import Any

ROUTING_SECTIONS = frozenset({"providers", "routes", "aliases"})


@dataclass(frozen=True, slots=True)
class Part:
    """Which sections an import takes: those of routing, those of people, limits and money, or both."""

    routing: bool = True
    people: bool = True

    def of(self, document: Any) -> Any:
        """The document without the sections that are not meant."""
        if not isinstance(document, dict) or (self.routing and self.people):
            return document
        return {name: each for name, each in document.items() if name == "version" or self._takes(str(name))}

    def _takes(self, section: str) -> bool:
        return self.routing if section in ROUTING_SECTIONS else self.people


EVERYTHING = Part()
