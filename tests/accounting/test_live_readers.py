"""Who watches over a websocket: what is new is told once, slow readers are dropped, numbers are bounded, and a database that
does not answer ends nothing."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from django.db import OperationalError

from accounting.dashboard.admission import Ticket
from accounting.dashboard.readers import BROKEN, GONE, MOST_OF_A_PERSON, MOST_SOCKETS, TOO_SLOW, Full, Reader, Readers
from accounting.dashboard.tail import OVERLAP_SECONDS, News, Tail
from accounting.models import RequestRecord


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def add(number: int, team: str = "alpha") -> None:
    RequestRecord.objects.create(
        id=number, request_id=f"req_{number}", team=team, started_at=datetime.now(UTC), client_format="anthropic",
        operation="messages", status=200, outcome="served", duration_ms=1,
    )  # fmt: skip


pytestmark = pytest.mark.django_db


class TestTail:
    def test_what_is_there_already_is_not_news(self) -> None:
        add(5)
        tail = Tail(Clock())
        assert tail.look(["alpha"]) == {}
        add(6)
        add(7, "beta")
        add(8)
        assert tail.look(["alpha"]) == {"alpha": News(2, 8)}
        assert tail.look(["alpha"]) == {}

    def test_a_transaction_that_is_late_is_told_too_and_once(self) -> None:
        clock = Clock()
        tail = Tail(clock)
        tail.look(["alpha"])
        add(10)
        assert tail.look(["alpha"]) == {"alpha": News(1, 10)}
        clock.now += 1
        add(9)  # its number was given out before 10 was
        assert tail.look(["alpha"]) == {"alpha": News(1, 9)}
        for _ in range(10):
            clock.now += 1
            assert tail.look(["alpha"]) == {}

    def test_nothing_is_told_twice_when_the_overlap_moves_on(self) -> None:
        clock, told = Clock(), 0
        tail = Tail(clock)
        tail.look(["alpha"])
        for number in range(1, 40):
            add(number)
            clock.now += OVERLAP_SECONDS / 4
            found = tail.look(["alpha"])
            told += found["alpha"].count
            assert found["alpha"].newest == number
        assert told == 39
        assert len(tail._told) < 10


class Script:
    """A tail that says what it is told to, look by look."""

    def __init__(self, *looks: dict[str, News] | Exception) -> None:
        self.looks = list(looks)
        self.told = threading.Event()  # everything, and once more

    def look(self, teams: Sequence[str]) -> dict[str, News]:
        if not self.looks:
            self.told.set()
        found = self.looks.pop(0) if self.looks else {}
        if isinstance(found, Exception):
            raise found
        return found


class Socket:
    """What a reader writes to; it takes messages only while `open` is set."""

    def __init__(self, person: int = 1, session: str = "s") -> None:
        self.sent: list[dict[str, object]] = []
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.open = asyncio.Event()
        self.open.set()
        self.heard = asyncio.Event()
        self.reader = Reader(Ticket(person, 1, "alpha", session, "p"), self.send, self.close)

    async def send(self, text: str) -> None:
        await self.open.wait()
        self.sent.append(json.loads(text))
        self.heard.set()

    async def close(self, code: int) -> None:
        self.closed.set_result(code)


def nobody(tickets: object) -> set[Ticket]:
    return set()


def readers(script: Script, refused: Callable[..., set[Ticket]] = nobody, send_seconds: float = 5) -> Readers:
    return Readers(lambda: script, refused, look_seconds=0.01, send_seconds=send_seconds)


async def within(what: object, seconds: float = 5) -> object:
    return await asyncio.wait_for(what, seconds)  # type: ignore[arg-type]


async def test_news_reaches_every_reader_of_the_team_and_errors_of_the_database_pass() -> None:
    script = Script({}, OperationalError("away"), {"beta": News(1, 1)}, {"alpha": News(2, 9)})
    all_of_them, one, two = readers(script), Socket(1), Socket(2)
    await within(all_of_them.begin())
    all_of_them.join(one.reader)
    all_of_them.join(two.reader)
    await within(one.heard.wait())
    await within(two.heard.wait())
    assert one.sent == two.sent == [{"type": "requests", "count": 2, "newest": 9}]
    all_of_them.leave(one.reader)
    all_of_them.leave(two.reader)
    assert len(all_of_them) == 0


async def test_what_comes_while_a_reader_is_slow_is_added_up() -> None:
    script = Script()
    all_of_them, socket = readers(script), Socket()
    socket.open.clear()
    all_of_them.join(socket.reader)
    script.looks += [{"alpha": News(1, 1)}, {"alpha": News(2, 3)}, {"alpha": News(4, 7)}]
    await asyncio.to_thread(script.told.wait, 5)
    socket.open.set()
    for count in (1, 2):
        await within(socket.heard.wait())
        assert len(socket.sent) == count
        socket.heard.clear()
    assert [(each["count"], each["newest"]) for each in socket.sent] == [(1, 1), (6, 7)]
    all_of_them.leave(socket.reader)


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    all_of_them, socket = readers(Script({}, {"alpha": News(1, 1)}), send_seconds=0.05), Socket()
    socket.open.clear()
    all_of_them.join(socket.reader)
    assert await within(socket.closed) == TOO_SLOW
    assert len(all_of_them) == 0


async def test_readers_are_let_go_when_looking_breaks() -> None:
    all_of_them, socket = readers(Script({}, ZeroDivisionError())), Socket()
    all_of_them.join(socket.reader)
    assert await within(socket.closed) == BROKEN
    assert len(all_of_them) == 0
    all_of_them.join(socket.reader)  # and begins again
    all_of_them.leave(socket.reader)


async def test_a_reader_that_may_no_more_is_cut_off() -> None:
    all_of_them = Readers(Script, lambda tickets: {each for each in tickets if each.user == 2}, look_seconds=0.5)
    kept, gone = Socket(1), Socket(2)
    all_of_them.join(kept.reader)
    all_of_them.join(gone.reader)
    assert await within(gone.closed, 10) == GONE
    assert len(all_of_them) == 1
    all_of_them.leave(kept.reader)


async def test_sockets_are_bounded_for_a_person_and_for_the_process() -> None:
    all_of_them = readers(Script())
    joined: list[Socket] = []
    for person in range(MOST_SOCKETS // MOST_OF_A_PERSON + 1):
        for _ in range(MOST_OF_A_PERSON):
            if len(joined) < MOST_SOCKETS:
                joined.append(Socket(person))
                all_of_them.join(joined[-1].reader)
        if len(joined) < MOST_SOCKETS:
            with pytest.raises(Full):
                all_of_them.join(Socket(person).reader)
    with pytest.raises(Full):
        all_of_them.join(Socket(-1).reader)
    for socket in joined:
        all_of_them.leave(socket.reader)
    assert len(all_of_them) == 0


async def test_it_rests_while_nobody_watches_and_begins_again() -> None:
    looks = 0

    class Counting(Script):
        def look(self, teams: Sequence[str]) -> dict[str, News]:
            nonlocal looks
            looks += 1
            return {}

    all_of_them = Readers(Counting, nobody, look_seconds=0.01)
    for _ in range(2):
        socket = Socket()
        await within(all_of_them.begin())
        all_of_them.join(socket.reader)
        all_of_them.leave(socket.reader)
        before = looks
        await asyncio.sleep(0.1)
        assert looks <= before + 1
