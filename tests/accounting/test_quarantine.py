"""What nobody could store waits in a file, is tried again on demand, and leaves it only when it is stored."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from django.db import DataError, OperationalError

from accounting.models import LedgerEntry, RequestRecord
from accounting.money.entry import Entry
from accounting.money.quarantine import Kept, Replayed, listing, replay
from accounting.money.replay import Quarantine
from accounting.money.spool import FINAL, encode
from accounting.money.store import store_records
from tests.accounting.ledgers import entry, line


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    kept = Quarantine(tmp_path)
    for name in ("a", "b"):
        kept.keep(encode(FINAL, entry(name, line(0, tokens_input=2))), "DataError", name)
    kept.keep(b'{"r":{"torn', "unreadable")
    return kept


class Store:
    """Takes all but what it `refuses`; `away`: takes that many, then the database is away."""

    def __init__(self, *refuses: str, away: int | None = None) -> None:
        self.refuses, self.away = refuses, away
        self.taken: list[str] = []

    def __call__(self, entries: Sequence[Entry]) -> None:
        for each in entries:
            if self.away is not None and len(self.taken) >= self.away:
                raise OperationalError
            if each.request_id in self.refuses:
                raise DataError
            self.taken.append(each.request_id)


def test_it_can_be_looked_at(quarantine: Quarantine) -> None:
    found = listing(quarantine, 10)
    assert [(each.request_id, each.team) for each in found] == [("a", "alpha"), ("b", "alpha"), ("", "")]
    assert found[2].beginning == '{"r":{"torn'
    assert len(listing(quarantine, 2)) == 2
    assert listing(quarantine, 10) == found


def test_what_can_be_stored_is_and_the_rest_stays(quarantine: Quarantine) -> None:
    store = Store("a")
    assert replay(quarantine, store).stored == 1
    assert store.taken == ["b"]
    assert [each.request_id for each in listing(quarantine, 10)] == ["a", ""]
    again = Store()
    assert replay(quarantine, again) == Replayed(1, (Kept("", "", '{"r":{"torn'),))
    assert again.taken == ["a"]


def test_a_replay_that_breaks_off_loses_nothing(quarantine: Quarantine) -> None:
    with pytest.raises(OperationalError):
        replay(quarantine, Store(away=1))
    quarantine.keep(encode(FINAL, entry("c")), "DataError", "c")  # a process goes on meanwhile
    assert {each.request_id for each in listing(quarantine, 10)} == {"a", "b", "c", ""}
    store = Store()
    assert replay(quarantine, store).stored == 3
    assert sorted(store.taken) == ["a", "b", "c"]
    assert [each.request_id for each in listing(quarantine, 10)] == [""]


def test_a_line_kept_while_lines_are_taken_is_not_lost(quarantine: Quarantine) -> None:
    taken = quarantine.taken()
    next(taken)
    quarantine.keep(b"late", "unreadable")
    assert len(list(taken)) == 2
    assert list(quarantine.lines()) == [b"late\n"]


def test_nothing_in_quarantine_is_nothing_to_do(tmp_path: Path) -> None:
    assert replay(Quarantine(tmp_path), Store()) == Replayed(0, ())


def test_replaying_twice_stores_once(any_database: str, quarantine: Quarantine) -> None:
    store_records([entry("a", line(0, tokens_input=2))])
    assert replay(quarantine, store_records).stored == 2
    assert RequestRecord.objects.count() == LedgerEntry.objects.count() == 2
