"""No answered request loses its record, and none has two: after `kill -9`, and while the database is away.

Records, ledger, roll-ups and the provider's own books agree afterwards. `TEST_DURABILITY_ROUNDS` is how often it is tried
(three times; twenty before a release).
"""

import os
import time
from collections import Counter

import pytest

from tests.fake_provider import FakeProvider
from tests.gateway.bodies import ask
from tests.gateway.books import assert_agree, wait_adopted
from tests.gateway.conftest import OwnGateway
from tests.gateway.load import Load, wait_for
from tests.harness import Cable, Gateway, postgres_database, wait_until

ROUNDS = int(os.environ.get("TEST_DURABILITY_ROUNDS", "3"))


def all_recorded(gateway: Gateway, answered: list[str], timeout: float = 10) -> list[str]:
    """The ids on record, once all answered ones are among them and those of dead processes, too: so pages do not shift."""
    recorded: list[str] = []
    wait_adopted(gateway, timeout + 20)

    def complete() -> bool:
        recorded[:] = [record["request_id"] for record in gateway.records()]
        return set(answered) <= set(recorded)

    wait_until(complete, timeout=timeout, what="a record of every answered request")
    return recorded


def test_kill_in_the_middle_of_load_loses_and_doubles_nothing(own_gateway: OwnGateway) -> None:
    with own_gateway() as (gateway, provider):
        answered: list[str] = []
        for _ in range(ROUNDS):
            with Load(gateway, 6) as account:
                wait_for(account, 60)
                gateway.kill9()
            answered += account.answered
            assert account.refused == []
            provider.violations.clear()  # a process that is killed may leave half a request behind
            gateway.start()
        assert len(set(answered)) == len(answered) >= 60 * ROUNDS
        recorded = all_recorded(gateway, answered)
        assert [name for name, count in Counter(recorded).items() if count > 1] == []
        outcomes = {record["request_id"]: record["outcome"] for record in gateway.records()}
        assert {outcomes[request_id] for request_id in answered} == {"served"}
        # Those that were cut off are not forgotten either: at most one for each client and kill.
        cut = [name for name in recorded if name not in set(answered)]
        assert len(cut) <= ROUNDS * 6
        tokens = [record["tokens"] for record in gateway.records(outcome="served")]
        assert all(each["output"] > 0 for each in tokens)
        assert_agree(gateway, provider, answered)


@pytest.mark.postgres
def test_database_outage_fails_no_request_and_loses_no_record(own_gateway: OwnGateway) -> None:
    with postgres_database() as url:
        _outage(own_gateway, url)


def _outage(own_gateway: OwnGateway, url: str) -> None:
    host, _, name = url.rpartition("@")[2].partition("/")
    address, _, port = host.partition(":")
    with Cable(int(port or 5432), address) as cable:
        through = url.replace(host, f"127.0.0.1:{cable.port}")
        assert name in through
        with own_gateway(environment={"DATABASE_URL": through}) as (gateway, provider):
            with Load(gateway, 4, pause=0.02) as account:
                wait_for(account, 50)
                cable.cut()
                begun = len(account.answered)
                # As long as an outage that everything must notice: pollers, the recorder, pooled connections.
                _told_of_the_outage(gateway)
                time.sleep(10)
                during = len(account.answered) - begun
                cable.mend()
                wait_for(account, len(account.answered) + 50)
            # The load has ended: pages of records do not shift while they are read.
            assert during > 50
            assert account.refused == []
            assert account.broken == []
            answered = list(account.answered)
            recorded = all_recorded(gateway, answered, timeout=20)
            assert len(set(recorded)) == len(recorded)
            assert_agree(gateway, provider, answered, url)


def _told_of_the_outage(gateway: Gateway) -> None:
    """The REST API says in its own shape that the database is away; the log, in a line without a traceback."""
    answer = gateway.get("/api/v1/requests/", key=gateway.token)
    assert answer.status == 503
    assert answer.value("retry-after") == "5"
    assert b"The database is away" in answer.body
    lines = [line for line in gateway.errors.read_text().splitlines() if "/api/v1/requests/" in line]
    assert len(lines) == 1
    assert "no answer without the database" in lines[0]
    assert "Traceback" not in lines[0]


@pytest.mark.postgres
def test_processes_killed_while_the_database_is_away_leave_books_that_agree(own_gateway: OwnGateway) -> None:
    with postgres_database() as url:
        host = url.rpartition("@")[2].partition("/")[0]
        address, _, port = host.partition(":")
        with Cable(int(port or 5432), address) as cable:
            through = url.replace(host, f"127.0.0.1:{cable.port}")
            with own_gateway(environment={"DATABASE_URL": through}) as (gateway, provider):
                answered: list[str] = []
                for _ in range(ROUNDS):
                    answered += _killed_while_away(gateway, provider, cable)
                recorded = all_recorded(gateway, answered, timeout=30)
                assert len(set(recorded)) == len(recorded)
                assert_agree(gateway, provider, answered, url)


def _killed_while_away(gateway: Gateway, provider: FakeProvider, cable: Cable) -> list[str]:
    """The answered requests of one round: some stored, some only in the spool when the process dies."""
    with Load(gateway, 4, pause=0.01) as account:
        wait_for(account, 30)
        cable.cut()
        wait_for(account, len(account.answered) + 30)
        gateway.kill9()
    assert account.refused == []
    provider.violations.clear()  # a process that is killed may leave half a request behind
    cable.mend()
    gateway.start()
    return list(account.answered)


@pytest.mark.postgres
def test_postgres_serves_and_records_like_sqlite(own_gateway: OwnGateway) -> None:
    with postgres_database() as url, own_gateway(environment={"DATABASE_URL": url}) as (gateway, _):
        ids = [gateway.post(ask(stream=streamed)).value("request-id") for streamed in (False, True)]
        records = gateway.wait_records(2)
        assert {record["request_id"] for record in records} == set(ids)
        assert {record["tokens"]["output"] > 0 for record in records} == {True}


def test_kill_while_streams_are_open_records_them_once(own_gateway: OwnGateway) -> None:
    """Requests that the client never saw the end of are recovered from their opening entry."""
    from tests.fake_provider import Hang, stream
    from tests.gateway.bodies import BLOCK, START, delta
    from tests.harness import send

    with own_gateway() as (gateway, provider):
        provider.on_model("claude-same", stream(START, BLOCK, delta("x"), Hang()))
        with gateway.client() as client:
            send(client, ask(stream=True))
            request_id = client.head().value("request-id")
            client.until(delta("x"))
            gateway.kill9()
        gateway.start()
        record = gateway.record(request_id, timeout=5)
        assert record["outcome"] == "shut_down"
        assert record["team"] == "alpha"
        gateway.restart()
        assert len(gateway.records(request_id=request_id)) == 1
