"""One finished request as the spool keeps it. No I/O.

The names are those of `RequestRecord`'s columns; a reader of an older or newer version passes over what it does not know.
"""

from decimal import Decimal
from typing import Any

import msgspec


class Line(msgspec.Struct, omit_defaults=True):
    """One entry of the ledger: what one model call used and what it cost.

    A request has one line for each upstream call that used tokens (`attempt` is its place in `attempts`), and one more for
    each model call that its usage reports beside the answer's own. `number` tells a request's lines apart. `kind`: `usage` (the
    answer), `failed` (a call that failed and used tokens all the same), `compaction`, `advisor`, `fallback` (reported in
    `iterations`), `adjustment` (a later correction). Token kinds are disjoint; `cost_usd` is exact, with at most 12 decimal
    places; `price` is the price row's id and the unit prices used, as docs/api.md shows it.
    """

    number: int
    kind: str
    attempt: int
    provider: str
    model: str
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write_5m: int = 0
    tokens_cache_write_1h: int = 0
    web_searches: int = 0
    cost_usd: Decimal = Decimal(0)
    price: dict[str, Any] | None = None
    estimated: bool = False


class Attempt(msgspec.Struct, frozen=True):
    """One upstream call: where it went, what came of it (`status` 0: no response), in milliseconds."""

    provider: str
    model: str
    status: int
    error: str
    duration_ms: float


class Entry(msgspec.Struct, omit_defaults=True):
    """Everything a `RequestRecord` has. `started_at` is a Unix time in seconds."""

    request_id: str
    started_at: float
    client_format: str = "anthropic"
    operation: str = "messages"
    stream: bool = False
    team: str = ""
    project: str = ""
    key: str = ""
    key_prefix: str = ""
    user: str = ""
    session_id: str = ""
    agent_id: str = ""
    parent_agent_id: str = ""
    client_ip: str = ""
    user_agent: str = ""
    alias: str = ""
    route: str = ""
    provider: str = ""
    upstream_model: str = ""
    upstream_request_id: str = ""
    attempts: list[Attempt] = []
    betas_removed: list[str] = []
    fields_removed: list[str] = []
    switched_from: str = ""
    switch_tokens: int = 0
    config_revision: int = 0
    status: int = 0
    outcome: str = ""
    reason: str = ""
    error_type: str = ""
    error_message: str = ""
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cache_read: int = 0
    tokens_cache_write_5m: int = 0
    tokens_cache_write_1h: int = 0
    web_searches: int = 0
    estimated: bool = False
    cost_usd: Decimal = Decimal(0)
    price: dict[str, Any] | None = None
    lines: list[Line] = []
    tags: dict[str, str] = {}
    resend_of: str = ""
    ttft_ms: float | None = None
    duration_ms: float = 0.0


class Head(msgspec.Struct):
    """What storing itself looks at of a request whose entry it hands on as text."""

    request_id: str
    started_at: float
    key_prefix: str = ""
    team: str = ""
    client_ip: str = ""
    user_agent: str = ""
