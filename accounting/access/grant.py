"""What a credential allows: the value that authentication gives to every later step. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class Grant:
    """One caller's identity and permissions, as they stood when the directory was read.

    `refusal` is empty for a usable key; otherwise the word for the record (`revoked`, `disabled`, `team_disabled`,
    `project_disabled`, `owner_disabled`). `expires_at` is a Unix time. A model must be allowed by *every* entry of
    `allowed_models` (the team's list and the key's).
    """

    key_id: int
    key: str
    key_prefix: str
    kind: str
    team: str
    project: str
    user: str = ""
    refusal: str = ""
    expires_at: float | None = None
    allowed_models: tuple[tuple[str, ...], ...] = ()
    allowed_ips: tuple[IPv4Network | IPv6Network, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    capture: str = "metadata"
