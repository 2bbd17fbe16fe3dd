"""The life of a name that clients ask for: in use, deprecated, retired. Pure; moments are Unix times in seconds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

Stage = Literal["in use", "deprecated", "retired"]
FORWARD, REFUSE = "forward", "refuse"
LONGEST_NOTE = 500


@dataclass(frozen=True, slots=True)
class Deprecation:
    """What stands before an alias: `since` and `until` are Unix times; without `until` it is never retired.

    `then` says what happens to requests from `until` on: `forward` to `successor`, or `refuse`.
    """

    since: float
    until: float | None = None
    successor: str = ""
    text: str = ""
    then: str = FORWARD

    def stage(self, now: float) -> Stage:
        if self.until is not None and now >= self.until:
            return "retired"
        return "deprecated" if now >= self.since else "in use"

    def refuses(self, now: float) -> bool:
        """Whether requests are refused by now."""
        return self.stage(now) == "retired" and self.then == REFUSE

    def headers(self, now: float) -> list[tuple[bytes, bytes]]:
        """What answers carry: RFC 9745's `deprecation`, RFC 8594's `sunset`, and the successor's name."""
        if self.stage(now) == "in use":
            return []
        found = [(b"deprecation", b"@%d" % int(self.since))]
        if self.until is not None:
            found.append((b"sunset", formatdate(self.until, usegmt=True).encode()))
        if self.successor:
            found.append((b"x-gateway-successor", self.successor.encode("latin-1", "replace")))
        return found

    def refusal(self, name: str) -> str:
        """What a caller is told who still asks for the retired `name`."""
        day = f"{datetime.fromtimestamp(self.until or 0, UTC):%Y-%m-%d}"
        parts = [f"model: {name} was retired on {day}."]
        if self.successor:
            parts.append(f"Use {self.successor} instead.")
        return " ".join([*parts, self.text] if self.text else parts)


def check_deprecation(since: datetime | None, until: datetime | None, successor: str, then: str) -> tuple[str, str]:
    """(field, sentence) for what is wrong with an alias's deprecation, or two empty texts."""
    if since is not None and until is not None and until <= since:
        return "retires_on", "It would be retired before it is deprecated; choose a later date."
    if "*" in successor or any(ord(char) < 33 or ord(char) > 126 for char in successor):
        return "successor", "A successor is one name, without *, spaces and characters that no header can carry."
    if until is not None and then == FORWARD and not successor:
        return "successor", "To forward after its retirement it needs a successor; give one, or refuse."
    return "", ""
