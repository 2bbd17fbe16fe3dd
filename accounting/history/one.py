"""One request, and what belongs to it: the lines of its cost, the request that it repeats and the one that repeats it."""

from dataclasses import dataclass
from decimal import Decimal

from accounting.history.listing import Records
from accounting.models import LedgerEntry, RequestRecord
from accounting.models.ledger import ADJUSTMENT
from accounting.money.formula import Formula, formulas, formulas_of
from accounting.money.lines import formula, lines_of


@dataclass(frozen=True, slots=True)
class Story:
    """`lines` are the ledger's, each with how its cost comes about; `cost` is what they come to, corrections included."""

    record: RequestRecord
    lines: list[tuple[LedgerEntry, str]]
    formulas: list[Formula]
    cost: Decimal
    corrections: list[LedgerEntry]
    repeats: RequestRecord | None
    repeated_by: RequestRecord | None


def story_of(records: Records, record: RequestRecord) -> Story:
    """What is known of a request; others are looked for among `records` only."""
    lines = lines_of(record)
    corrections = [line for line in lines if line.kind == ADJUSTMENT]
    return Story(
        record,
        [(line, formula(line)) for line in lines],
        formulas([line for line in lines if line.kind != ADJUSTMENT]) or formulas_of(record),
        record.cost_usd + sum((line.cost_usd for line in corrections), Decimal(0)),
        corrections,
        records.filter(request_id=record.resend_of).first() if record.resend_of else None,
        _repeated_by(records, record),
    )


def _repeated_by(records: Records, record: RequestRecord) -> RequestRecord | None:
    """By way of the session, which has an index; nothing else is taken for a repetition."""
    if not record.session_id:
        return None
    return (
        records.filter(session_id=record.session_id, resend_of=record.request_id, started_at__gte=record.started_at)
        .order_by("started_at")
        .first()
    )
