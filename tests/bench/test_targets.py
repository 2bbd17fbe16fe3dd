"""The benchmark's own arithmetic: what it reads from streams, and when a gate counts as held."""

import pytest

from bench.everything import with_everything
from bench.plan import Plan, Setup, Streams, Whole, cells, models, setups
from bench.report import page_text, target_table
from bench.targets import AFTER, Round, Verdict, verdicts
from bench.wire import CLOSE, SPEECHES, STOP
from routing.formats.eventstream import encode_chunk

LIVE = {"lag_p50_ms": 0.5, "lag_p99_ms": 9.0, "first_p50_ms": 2.0, "cpu_us": 30.0, "errors": 0.0, "ended": 200.0}


def one_round(**gateway: dict[str, float]) -> Round:
    nginx = {
        "2 KB, 16 connections": {"per_second": 40_000.0},
        "100 streams": {**LIVE, "cpu_us": 15.0, "first_p50_ms": 1.0},
    }
    ours = {
        "2 KB, 16 connections": {"per_second": 2_000.0, "errors": 0.0},
        "100 streams": LIVE,
        "200 streams": LIVE,
        AFTER: {"resident_mib": 120.0},
    }
    return {"nginx": nginx, "gateway": {**ours, **gateway}}


def found(*rounds: Round) -> dict[str, Verdict]:
    return {each.what: each for each in verdicts(rounds, "gateway", start_seconds=1.0, idle_mib=90.0)}


def test_ratios_are_taken_within_a_round_and_the_median_counts() -> None:
    slow = one_round(**{"2 KB, 16 connections": {"per_second": 400.0, "errors": 0.0}})
    rows = found(one_round(), one_round(), slow)
    ratio = rows["requests/s at 2 KB, nginx over ours"]
    assert ratio.value == pytest.approx(20)
    assert (ratio.held, ratio.distance) == (True, "2.00 x away")
    assert rows["CPU per stream event over nginx"].value == pytest.approx(2)
    assert rows["time to first byte added, 100 streams, p50"].distance == "reached"


def test_what_was_not_measured_is_neither_held_nor_broken() -> None:
    row = found(one_round())["requests/s at 100 KB, nginx over ours"]
    assert (row.value, row.held, row.distance) == (None, None, "not measured")


def test_streams_count_only_if_all_ended_and_were_in_time() -> None:
    name = "live streams at 50 events/s, all in time"
    assert (found(one_round())[name].value, found(one_round())[name].held) == (200, True)
    late = found(one_round(**{"200 streams": {**LIVE, "lag_p99_ms": 30.0}}))[name]
    assert (late.value, late.held) == (100, False)
    lost = found(one_round(**{"200 streams": {**LIVE, "errors": 1.0}}))
    assert (lost[name].value, lost["requests with an error"].held) == (100, False)


def test_tables_say_what_is_held() -> None:
    text = "\n".join(target_table(list(found(one_round()).values())))
    assert "| resident memory, after load | 120 MiB | 220 | held | 150 | reached |" in text
    result = {
        "at": "2026-11-25T00:00:00", "rounds": [one_round()], "machine": "m", "versions": {"nginx": "1"}, "core": 0,
        "load_core": 1, "rivals": [], "setups": ["gateway"],
    }  # fmt: skip
    page = page_text(result, {"gateway": list(found(one_round()).values())})
    assert "**2 KB, 16 connections**" in page
    assert "| gateway | 2,000 | 0 |" in page


@pytest.mark.parametrize("name", sorted(SPEECHES))
def test_events_carry_their_moment(name: str) -> None:
    speech = SPEECHES[name]
    data = b"".join(speech.timed(number) for number in (5, 17)) + speech.events(CLOSE, STOP)
    assert speech.stamps(data) == [b"5", b"17"]
    assert speech.last in data


def test_the_load_reads_what_the_gateway_writes_in_bedrocks_framing() -> None:
    text = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@42@ and"}}'
    assert SPEECHES["bedrock"].stamps(encode_chunk(text, "abc")) == [b"42"]


def test_every_load_asks_for_a_model_that_is_configured() -> None:
    for quick in (True, False):
        plan = Plan(1, 1, 3, cells(quick=quick), setups(quick=quick, workers=2))
        plain, bedrock = models(plan)
        assert "bench-50-3" in plain
        assert bedrock == ["bench-50-3-b"]
        assert Whole("2 KB", 16) in plan.cells
        assert Streams(100) in plan.cells


def test_everything_is_more_than_bare() -> None:
    document = {"routes": [{}], "teams": [{"projects": [{"keys": [{}]}]}]}
    assert with_everything(document)["teams"][0]["projects"][0]["keys"][0]["allowed_ips"]
    assert Setup("x").everything


def test_everything_has_limits_of_each_scope_prices_and_a_condition() -> None:
    document = with_everything({"routes": [{"name": "a"}], "teams": [{"projects": [{"keys": [{}]}]}]})
    team, organization = document["teams"][0], document["organization"]
    project = team["projects"][0]
    assert all(scope["budgets"] for scope in (organization, team, project, project["keys"][0]))
    assert all(scope["rate_limits"] for scope in (organization, team, project["keys"][0]))
    assert document["prices"]
    assert document["routes"][0]["conditions"]
