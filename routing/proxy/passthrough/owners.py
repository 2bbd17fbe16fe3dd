"""Whose each batch and file is, in memory: what requests ask. Rows of the database, kept fresh by the watcher's thread."""

import json
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice

MOST = 100_000  # kept in memory, the newest; older ones are looked up one by one


FILE = "file"
_FILE_ID = re.compile(rb"file_[A-Za-z0-9_-]{4,120}")


@dataclass(frozen=True, slots=True)
class Owned:
    """One batch or file. `row` is its row's id and grows with time; `aliases` are the names asked for by the upstream's
    names of them."""

    row: int
    kind: str
    id: str
    provider: str
    team: str
    project: str
    key: str
    key_prefix: str
    user: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    ended: bool = False
    priced: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a team's things, newest first; `more` says whether others follow in the direction of paging."""

    things: Sequence[Owned]
    more: bool


class Owners:
    """All of them by id and by team. Written by the loop and by the watcher's thread; `revision` as of the last reading."""

    def __init__(self) -> None:
        self.revision = 0
        self.complete = True  # whether nothing was left out
        self._lock = threading.Lock()
        self._by_id: dict[tuple[str, str], Owned] = {}
        self._by_team: dict[tuple[str, str], dict[str, Owned]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, kind: str, id_: str) -> Owned | None:
        return self._by_id.get((kind, id_))

    def foreign_file(self, body: bytes, team: str) -> str:
        """The id of another team's file that a request's body names, or nothing.

        All teams share the provider's account, so the provider would read it to anybody who knows its id.
        """
        if not self._by_id or (b"file_" not in body and b"\\u00" not in body):
            return ""
        if b"\\u00" in body:  # an id can be spelled with escapes
            with suppress(ValueError, RecursionError):
                body = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
        for id_ in dict.fromkeys(_FILE_ID.findall(body)):
            file = self._by_id.get((FILE, id_.decode()))
            if file is not None and file.team != team:
                return file.id
        return ""

    def put(self, things: Iterable[Owned]) -> None:
        """Takes new and changed ones, oldest first. What is ended or priced stays so."""
        with self._lock:
            for new in things:
                thing = _merged(new, self._by_id.get((new.kind, new.id)))
                self._by_id[thing.kind, thing.id] = thing
                self._by_team.setdefault((thing.kind, thing.team), {})[thing.id] = thing
            if len(self._by_id) > MOST:
                self.complete = False
                for oldest in list(islice(self._by_id.values(), len(self._by_id) - MOST)):
                    self._drop(oldest)

    def remove(self, kind: str, ids: Iterable[str]) -> None:
        with self._lock:
            for id_ in ids:
                thing = self._by_id.get((kind, id_))
                if thing is not None:
                    self._drop(thing)

    def unpriced(self) -> list[Owned]:
        """The batches that have ended and whose usage is not on record."""
        with self._lock:
            return [thing for thing in self._by_id.values() if thing.ended and not thing.priced]

    def page(self, kind: str, team: str, *, limit: int, after: str = "", before: str = "") -> Page:
        """Up to `limit` of a team's things behind `after`, or before `before`; nothing for an id that is not among them."""
        with self._lock:
            things = list(self._by_team.get((kind, team), {}).values())
        things.sort(key=lambda thing: -thing.row)
        ids = [thing.id for thing in things]
        if before:
            end = ids.index(before) if before in ids else 0
            return Page(things[max(0, end - limit) : end], end > limit)
        begin = 0
        if after:
            begin = ids.index(after) + 1 if after in ids else len(ids)
        return Page(things[begin : begin + limit], begin + limit < len(things))

    def _drop(self, thing: Owned) -> None:
        del self._by_id[thing.kind, thing.id]
        team = self._by_team[thing.kind, thing.team]
        team.pop(thing.id, None)
        if not team:
            del self._by_team[thing.kind, thing.team]


def _merged(new: Owned, old: Owned | None) -> Owned:
    """What this process knows may be ahead of the row that was read."""
    if old is None or (new.ended >= old.ended and new.priced >= old.priced):
        return new
    return replace(new, ended=new.ended or old.ended, priced=new.priced or old.priced)
