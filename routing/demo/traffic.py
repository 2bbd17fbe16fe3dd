"""All requests of the demo's quarter, priced, in the order in which they came. Always the same but for the time."""

import random
from dataclasses import dataclass
from datetime import datetime

from accounting.limits.terms import RateTerms
from accounting.money.entry import Entry
from accounting.money.price_store import load_price_book, store_unpriced
from routing.demo.answers import Desk
from routing.demo.callers import Caller, load_callers
from routing.demo.conversations import session
from routing.demo.keys import CLAUDE_CODE, REVOKED
from routing.demo.programs import BATCHES_OF_PROGRAMS, batch, sends_batches, single_call
from routing.demo.refusals import Refusals, cut_off
from routing.demo.rhythm import DAYS, Calendar
from routing.proxy.billing import Billing
from routing.snapshot import load_snapshot

SEED = 20261123
OF_SESSIONS = 0.62  # of all requests
REFUSED = 0.012
LEAST_REFUSED = 24


@dataclass(frozen=True, slots=True)
class Size:
    """How many requests there are, about."""

    requests: int


SIZES = {"full": Size(30_000), "small": Size(3_000)}


def make_traffic(size: Size, now: datetime, rates: tuple[RateTerms, ...], address: str) -> list[Entry]:
    """The requests of a quarter that ends `now`. What they used without a price is noted, as the gateway does."""
    billing = Billing()
    billing.book = load_price_book()
    chance = random.Random(SEED)  # noqa: S311 - made-up traffic, the same each time
    desk = Desk(chance, Calendar(now), billing, load_snapshot().providers)
    callers = load_callers()
    coders = [caller for caller in callers if caller.plan.client == CLAUDE_CODE]
    programs = [caller for caller in callers if caller.plan.client != CLAUDE_CODE]
    refusals = Refusals(desk, rates, address)
    entries = _sessions(desk, coders, int(size.requests * OF_SESSIONS))
    entries += _calls(desk, programs, size.requests - len(entries))
    entries += [refusals.one(chance.choice(callers)) for _ in range(max(LEAST_REFUSED, int(size.requests * REFUSED)))]
    revoked = next(caller for caller in callers if caller.plan.place == REVOKED)
    entries += [refusals.late(revoked) for _ in range(9)]
    entries += cut_off(desk, coders[:4])
    store_unpriced(billing.take())
    return sorted(entries, key=lambda entry: (entry.started_at, entry.request_id))


def _sessions(desk: Desk, coders: list[Caller], wanted: int) -> list[Entry]:
    found: list[Entry] = []
    weights = [caller.plan.weight for caller in coders]
    while len(found) < wanted:
        found += session(desk, desk.chance.choices(coders, weights)[0])
    return found


def _calls(desk: Desk, programs: list[Caller], wanted: int) -> list[Entry]:
    weights = [caller.plan.weight for caller in programs]
    found = [single_call(desk, caller) for caller in desk.chance.choices(programs, weights, k=wanted)]
    senders = [caller for caller in programs if sends_batches(caller) and not caller.plan.silent_for]
    count = max(3, int(wanted * BATCHES_OF_PROGRAMS))
    return found + [batch(desk, desk.chance.choice(senders), desk.chance.randrange(DAYS - 2)) for _ in range(count)]
