"""Message batches: names rewritten, owned by teams, metered once."""

import copy
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest

from routing.proxy.passthrough.metering import record_id
from tests.fake_provider import Die, Gate, Pause, error, reply, stream
from tests.fake_provider.kept import RESULTS_HOST
from tests.gateway import kept_scenarios
from tests.gateway.bodies import assert_error, encoded
from tests.gateway.keeping import BATCHES, House, batch_of, house, usage_of_results
from tests.harness import KEYS, Cable, Gateway, Template, postgres_database, send, wait_until
from tests.harness.process import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
OLD_SDK = Path(sys.prefix) / "sdk0"
BETA = KEYS["beta"]  # of another team
UPSTREAM = "claude-upstream-20260101"


@pytest.fixture(scope="module")
def running(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(template, tmp_path_factory.mktemp("batches")) as found:
        yield found


@pytest.fixture
def kept(running: House) -> Iterator[House]:
    running.provider.reset()
    yield running
    for id_, batch in running.account.batches.items():
        if batch.results:  # or else the gateway would fetch them in the middle of another test
            running.do("GET", f"{BATCHES}/{id_}/results")
    assert running.provider.violations == []
    assert running.provider.unused_answers == 0


def usage_records(gateway: Gateway, batch: str) -> list[dict[str, Any]]:
    """The records of what a batch has used."""
    ids = [record_id("anthropic-main", batch, model) for model in (UPSTREAM, "claude-same")]
    found = [record for request_id in ids for record in gateway.records(request_id=request_id)]
    assert {(record["operation"], record["reason"]) for record in found} <= {("batches", "batch_results")}
    return found


def wait_usage(gateway: Gateway, batch: str, count: int = 1) -> list[dict[str, Any]]:
    wait_until(lambda: len(usage_records(gateway, batch)) >= count, what="the usage of the batch")
    found = usage_records(gateway, batch)
    assert len(found) == count
    return found


# SDKs


@pytest.fixture(scope="module")
def sdk_house(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(template, tmp_path_factory.mktemp("sdk"), patient=False) as found:
        yield found


@pytest.mark.parametrize("scenario", kept_scenarios.SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("mount", ["", "/anthropic"])
def test_newest_sdk(scenario: Any, mount: str, sdk_house: House) -> None:
    url = sdk_house.gateway.url + mount
    with anthropic.Anthropic(base_url=url, api_key=KEYS["main"], max_retries=0, timeout=20) as client:
        scenario(client)


@pytest.fixture(scope="module")
def old_outcome(sdk_house: House) -> dict[str, Any]:
    if not OLD_SDK.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail("the last 0.x SDK is not installed; `make setup-dev` does that")
        pytest.skip("the last 0.x SDK is not installed; `make setup-dev` does that")
    done = subprocess.run(
        [sys.executable, "-m", "tests.gateway.kept_scenarios", sdk_house.gateway.url, KEYS["main"]],
        env={"PYTHONPATH": f"{OLD_SDK}{os.pathsep}{ROOT}", "PATH": os.environ["PATH"]},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in kept_scenarios.SCENARIOS])
def test_last_sdk_before_version_1(name: str, old_outcome: dict[str, Any]) -> None:
    assert old_outcome["version"].startswith("0.")
    assert old_outcome["outcome"][name] == ""


# What goes upstream


def test_only_the_models_of_the_requests_are_rewritten(kept: House) -> None:
    body = (
        ' {"requests" :[ {"params":{ "metadata":{"model":"claude-alias"},"mod\\u0065l" : "claude-alias","max_tokens":1,'
        '"messages":[{"role":"user","content":"claude-alias ☃ \\u00e9"}]},"custom_id":"a"},\n'
        '{"custom_id":"b","params":{"model":"claude-same","max_tokens":1.0e0,"messages":[{"role":"user","content":"x"}]}}'
        ' ] , "model":"claude-alias" }\n'
    ).replace("1.0e0", "1")
    answer = kept.gateway.post(body.encode(), BATCHES)
    assert answer.status == 200
    arrived = kept.provider.received[-1]
    expected = body.replace('l" : "claude-alias"', f'l" : "{UPSTREAM}"').encode()
    assert (arrived.body, arrived.path) == (expected, BATCHES)
    # What comes back are the provider's own bytes.
    assert answer.body == json.dumps(kept.account.batches[answer.json["id"]].shown, ensure_ascii=False).encode()
    assert answer.value("request-id").startswith("req_")
    assert not [name for name, _ in answer.headers if name.startswith(("anthropic-ratelimit", "cf-"))]


def test_betas_and_version_pass(kept: House) -> None:
    betas = [
        ("anthropic-beta", "output-300k-2026-03-24"),
        ("anthropic-beta", "not-yet-known"),
        ("anthropic-version", "2026-10-21"),
    ]
    kept.gateway.post(batch_of("claude-alias"), BATCHES + "?beta=true", headers=betas)
    arrived = kept.provider.received[-1]
    assert arrived.value("anthropic-beta") == "output-300k-2026-03-24,not-yet-known"
    assert arrived.value("anthropic-version") == "2026-10-21"
    assert arrived.target == BATCHES + "?beta=true"


@pytest.mark.parametrize(
    ("models", "key", "status", "kind", "words"),
    [
        (("claude-same", "claude-unheard-of"), "main", 404, "not_found_error", "requests.1.params.model"),
        (("claude-same", "claude-same", "claude-alias"), "narrow", 400, "policy_blocked", "requests.2.params.model"),
        (("claude-drain",), "beta", 400, "policy_blocked", "requests.0.params.model"),
        (("claude-same", "claude-drain"), "main", 400, "invalid_request_error", "requests.1.params.model"),
    ],
)
def test_a_request_that_cannot_be_served_is_named_and_nothing_is_sent(
    models: tuple[str, ...], key: str, status: int, kind: str, words: str, kept: House
) -> None:
    answer = kept.gateway.post(batch_of(*models), BATCHES, key=KEYS[key])
    assert words in assert_error(answer, status, kind)
    assert kept.provider.received == []
    record = kept.gateway.record(answer.value("request-id"))
    assert (record["operation"], record["outcome"]) == ("batches", "refused")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"requests":{}}', b'{"requests":[]}', b'{"requests":[{}]}', b"[]"])
def test_what_is_not_a_batch_is_refused(body: bytes, kept: House) -> None:
    assert_error(kept.gateway.post(body, BATCHES), 400, "invalid_request_error")
    assert kept.provider.received == []


def test_a_name_that_two_providers_serve_goes_to_that_of_the_first(kept: House) -> None:
    kept.create("claude-other", "claude-two")
    assert [each["params"]["model"] for each in kept.provider.received[-1].json["requests"]] == [
        "claude-other",
        "claude-second",
    ]


def test_an_upstreams_refusal_reaches_the_client(kept: House) -> None:
    kept.provider.script(
        reply(400, error("invalid_request_error", "requests.0.params: strange"), [("retry-after", "7")])
    )
    answer = kept.gateway.post(batch_of("claude-alias"), BATCHES)
    assert assert_error(answer, 400, "invalid_request_error") == "requests.0.params: strange"
    record = kept.gateway.record(answer.value("request-id"))
    assert (record["outcome"], record["alias"], record["upstream_model"]) == (
        "upstream_error",
        "claude-alias",
        UPSTREAM,
    )
    assert len(record["attempts"]) == len(kept.provider.received) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", BATCHES, 405),
        ("DELETE", BATCHES, 405),
        ("POST", BATCHES + "/msgbatch_1", 405),
        ("POST", BATCHES + "/msgbatch_1/results", 405),
        ("GET", BATCHES + "/msgbatch_1/cancel", 405),
        ("GET", BATCHES + "/msgbatch_1/nothing", 404),
        ("GET", BATCHES + "/..%2Ffiles", 404),
        ("GET", BATCHES + "/a/b/c", 404),
        ("GET", BATCHES + "/msgbatch_unknown", 404),
    ],
)
def test_other_methods_and_addresses(method: str, path: str, status: int, kept: House) -> None:
    answer = kept.do(method, path)
    assert_error(answer, status, "invalid_request_error" if status == 405 else "not_found_error")
    assert kept.provider.received == []


# Ownership


def test_another_team_neither_reads_nor_changes_nor_sees_it(kept: House) -> None:
    mine = kept.create("claude-same")
    kept.account.end(mine)
    theirs = kept.create("claude-same", key=BETA)
    seen = len(kept.provider.received)
    unknown = kept.do("GET", f"{BATCHES}/msgbatch_of_nobody", BETA).json["error"]
    for method, path in (("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("DELETE", "")):
        answer = kept.do(method, f"{BATCHES}/{mine}{path}", BETA)
        assert answer.status == 404
        assert answer.json["error"] == unknown
    assert len(kept.provider.received) == seen
    listed = kept.do("GET", BATCHES + "?limit=100", BETA).json
    assert theirs in [batch["id"] for batch in listed["data"]]
    assert mine not in [batch["id"] for batch in listed["data"]]
    # Another key of the same team does.
    assert kept.do("GET", f"{BATCHES}/{mine}", KEYS["narrow"]).status == 200


def test_a_page_leaves_out_what_is_gone_upstream_and_goes_on(kept: House) -> None:
    made = [kept.create("claude-same", key=BETA) for _ in range(4)]
    del kept.account.batches[made[2]]
    page = kept.do("GET", BATCHES + "?limit=2", BETA).json
    assert [batch["id"] for batch in page["data"]] == [made[3], made[1]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[3], made[1], True)
    after = kept.do("GET", f"{BATCHES}?limit=1&after_id={made[1]}", BETA).json
    assert [batch["id"] for batch in after["data"]] == [made[0]]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "limit=-1", "limit=%C2%B2"])
def test_a_senseless_page_is_refused(query: str, kept: House) -> None:
    assert_error(kept.do("GET", f"{BATCHES}?{query}"), 400, "invalid_request_error")


def test_ownership_survives_kills_and_is_known_to_other_processes(template: Template, tmp_path: Path) -> None:
    with house(template, tmp_path) as found:
        first = found.create("claude-same")
        found.gateway.kill9()
        found.gateway.start()
        assert found.do("GET", f"{BATCHES}/{first}").status == 200
        assert found.do("GET", f"{BATCHES}/{first}", BETA).status == 404
        other = copy.copy(found.gateway)
        other.port = free_port()
        other.start()
        try:
            second = found.create("claude-same")
            wait_until(lambda: other.get(f"{BATCHES}/{second}").status == 200, timeout=1.5)
            assert other.get(f"{BATCHES}/{second}", key=BETA).status == 404
            found.account.end(second)
            assert found.do("DELETE", f"{BATCHES}/{second}").status == 200
            wait_until(lambda: len(other.get(BATCHES).json["data"]) == 1, timeout=1.5)
        finally:
            other.stop()


# Results


def test_results_url_leads_here_by_the_address_and_mount_of_the_client(kept: House) -> None:
    batch = kept.create("claude-alias")
    kept.account.end(batch)
    for mount in ("", "/anthropic"):
        answer = kept.do("GET", f"{mount}{BATCHES}/{batch}")
        assert answer.json["results_url"] == f"{kept.gateway.url}{mount}{BATCHES}/{batch}/results"
        assert RESULTS_HOST.encode() not in answer.body
        listed = kept.do("GET", f"{mount}{BATCHES}").json["data"][0]
        assert listed == answer.json
    expected = {**kept.account.batches[batch].shown, "results_url": answer.json["results_url"]}
    assert answer.body == json.dumps(expected, ensure_ascii=False).encode()


def test_results_url_is_of_the_public_address(template: Template, tmp_path: Path) -> None:
    environment = {"GATEWAY_PUBLIC_URL": "https://gateway.example.org/llm/"}
    with house(template, tmp_path, environment=environment) as found:
        batch = found.create("claude-alias")
        found.account.end(batch)
        shown = found.do("GET", f"{BATCHES}/{batch}").json
        assert shown["results_url"] == f"https://gateway.example.org/llm{BATCHES}/{batch}/results"


def test_results_are_metered_once_however_often_they_are_fetched(kept: House) -> None:
    batch = kept.create("claude-alias", "claude-same", "claude-alias")
    kept.account.end(batch)
    path = f"{BATCHES}/{batch}/results"
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: kept.do("GET", path), range(4)))
    answers += [kept.do("GET", path, KEYS["personal"]) for _ in range(2)]
    results = kept.account.batches[batch].results
    assert {answer.body for answer in answers} == {results}
    sums = usage_of_results(results)
    records = wait_usage(kept.gateway, batch, 2)
    assert {record["upstream_model"]: record["tokens"] for record in records} == sums
    for record in records:
        # It is the maker's, whoever fetched; and a fetch itself uses nothing.
        assert (record["team"], record["key"], record["outcome"]) == ("alpha", "main", "served")
        assert record["estimated"] is False
        assert len(record["request_id"]) <= 40
    assert {record["alias"] for record in records} == {"claude-alias", "claude-same"}
    for answer in answers:
        fetch = kept.gateway.record(answer.value("request-id"))
        assert (fetch["operation"], fetch["outcome"]) == ("batches", "served")
        assert set(fetch["tokens"].values()) == {0}
    assert len(usage_records(kept.gateway, batch)) == 2


def test_a_batch_that_was_seen_to_have_ended_is_metered_by_itself(kept: House) -> None:
    batch = kept.create("claude-alias")
    kept.account.end(batch)
    for _ in range(3):
        assert kept.do("GET", f"{BATCHES}/{batch}").json["processing_status"] == "ended"
    (record,) = wait_usage(kept.gateway, batch)
    assert record["tokens"] == usage_of_results(kept.account.batches[batch].results)[UPSTREAM]
    fetched = [each for each in kept.provider.received if each.path.endswith("/results")]
    assert len(fetched) == 1


def test_what_was_seen_to_have_ended_is_metered_after_a_crash(template: Template, tmp_path: Path) -> None:
    with house(template, tmp_path) as found:
        batch = found.create("claude-alias")
        found.account.end(batch)
        found.do("GET", f"{BATCHES}/{batch}")
        database = found.gateway.data / "gateway.sqlite3"
        wait_until(lambda: _states(database) == ["ended"])
        found.gateway.kill9()
        assert not [each for each in found.provider.received if each.path.endswith("/results")]
        found.gateway.start()
        wait_usage(found.gateway, batch)


def _states(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT state FROM routing_keptupstream")]


def test_a_fetch_that_breaks_is_not_metered_and_does_not_look_complete(kept: House) -> None:
    batch = kept.create("claude-alias", "claude-alias")
    kept.account.end(batch)
    results = kept.account.batches[batch].results
    path = f"{BATCHES}/{batch}/results"
    whole_line = results[: results.index(b"\n") + 1]
    kept.provider.script(stream(whole_line, Die(), content_type="application/x-jsonl"), model=f"GET {path}")
    with kept.gateway.client() as client:
        client.request("GET", path, [("authorization", f"Bearer {KEYS['main']}")])
        request_id = client.head().value("request-id")
        with pytest.raises((EOFError, ConnectionError)):
            client.rest()
    record = kept.gateway.record(request_id)
    assert (record["outcome"], record["reason"]) == ("upstream_error", "answer_broken")
    assert usage_records(kept.gateway, batch) == []
    assert kept.do("GET", path).body == results
    (usage,) = wait_usage(kept.gateway, batch)
    assert usage["tokens"] == usage_of_results(results)[UPSTREAM]


def test_results_that_a_client_does_not_wait_for_are_metered(kept: House) -> None:
    batch = kept.create("claude-alias", "claude-alias")
    kept.account.end(batch)
    results, gate = kept.account.batches[batch].results, Gate()
    path = f"{BATCHES}/{batch}/results"
    kept.provider.script(
        stream(results[:50], gate, Pause(0.5), results[50:], content_type="application/x-jsonl"), model=f"GET {path}"
    )
    with kept.gateway.client() as client:
        client.request("GET", path, [("authorization", f"Bearer {KEYS['main']}")])
        request_id = client.head().value("request-id")
        client.piece()
        client.leave()
    gate.open()
    assert kept.gateway.record(request_id)["outcome"] == "client_left"
    (usage,) = wait_usage(kept.gateway, batch)
    assert usage["tokens"] == usage_of_results(results)[UPSTREAM]


def test_a_batch_is_metered_before_it_is_deleted(kept: House) -> None:
    batch = kept.create("claude-alias")
    kept.account.end(batch)
    results = kept.account.batches[batch].results
    assert kept.do("DELETE", f"{BATCHES}/{batch}").status == 200
    (usage,) = wait_usage(kept.gateway, batch)
    assert usage["tokens"] == usage_of_results(results)[UPSTREAM]
    assert batch not in kept.account.batches


def test_a_batch_whose_results_cannot_be_read_is_not_deleted(kept: House) -> None:
    batch = kept.create("claude-alias")
    kept.account.end(batch)
    kept.provider.script(reply(500, error("api_error", "no")), model=f"GET {BATCHES}/{batch}/results")
    assert_error(kept.do("DELETE", f"{BATCHES}/{batch}"), 503, "api_error")
    assert batch in kept.account.batches


def test_errored_and_canceled_requests_use_nothing(kept: House) -> None:
    bad = batch_of("claude-alias", "claude-alias")
    bad["requests"][0]["params"]["messages"][0]["content"] = "fail=400"
    batch = kept.gateway.post(bad, BATCHES).json["id"]
    kept.account.end(batch)
    results = kept.do("GET", f"{BATCHES}/{batch}/results").body
    (usage,) = wait_usage(kept.gateway, batch)
    assert usage["tokens"] == usage_of_results(results)[UPSTREAM]
    canceled = kept.create("claude-alias")
    assert kept.do("POST", f"{BATCHES}/{canceled}/cancel").json["processing_status"] == "canceling"
    kept.account.end(canceled)
    assert kept.do("GET", f"{BATCHES}/{canceled}/results").status == 200
    assert usage_records(kept.gateway, canceled) == []


# Faults


def test_a_keeper_that_is_switched_off_is_said(template: Template, tmp_path: Path) -> None:
    with house(template, tmp_path) as found:
        batch = found.create("claude-same")
        config = copy.deepcopy(found.gateway.config)
        config.providers[0]["enabled"] = False
        config.routes, config.aliases, config.teams = [], [], []
        found.gateway.import_config(config)
        wait_until(lambda: found.do("GET", f"{BATCHES}/{batch}").status == 503, timeout=2)


@contextmanager
def through_a_cable(template: Template, folder: Path) -> Iterator[tuple[House, Cable]]:
    """A house whose database can be cut off."""
    with postgres_database() as url:
        host = url.rpartition("@")[2].partition("/")[0]
        address, _, port = host.partition(":")
        with Cable(int(port or 5432), address) as cable:
            through = url.replace(host, f"127.0.0.1:{cable.port}")
            with house(template, folder, environment={"DATABASE_URL": through}) as found:
                yield found, cable


@pytest.mark.postgres
def test_without_the_database_nothing_is_made_and_what_is_known_is_served(template: Template, tmp_path: Path) -> None:
    with through_a_cable(template, tmp_path) as (found, cable):
        batch = found.create("claude-same")
        cable.cut()
        seen = len(found.provider.received)
        answer = found.gateway.post(batch_of("claude-same"), BATCHES)
        assert_error(answer, 503, "api_error")
        assert answer.value("retry-after")
        assert len(found.provider.received) == seen
        assert found.do("GET", f"{BATCHES}/{batch}").status == 200
        cable.mend()
        wait_until(lambda: found.gateway.post(batch_of("claude-same"), BATCHES).status == 200, timeout=15)


@pytest.mark.postgres
def test_what_cannot_be_noted_any_more_is_undone(template: Template, tmp_path: Path) -> None:
    with through_a_cable(template, tmp_path) as (found, cable), ThreadPoolExecutor(1) as threads:
        gate = Gate()
        made = found.account.respond
        found.provider.respond = lambda request: made(request).after(gate)
        asked = threads.submit(found.gateway.post, batch_of("claude-same"), BATCHES)
        assert gate.reached.wait(10)
        cable.cut()
        gate.open()
        assert_error(asked.result(), 503, "api_error")
        (batch,) = found.account.batches.values()
        assert batch.shown["processing_status"] == "canceling"
        cable.mend()


def test_a_client_that_leaves_while_a_batch_is_made_finds_it_in_the_list(template: Template, tmp_path: Path) -> None:
    with house(template, tmp_path) as found:
        gate = Gate()
        made = found.account.respond
        found.provider.respond = lambda request: made(request).after(gate, Pause(0.5))
        with found.gateway.client() as client:
            send(client, batch_of("claude-same"), BATCHES)
            assert gate.reached.wait(10)
            client.leave()
        gate.open()
        found.gateway.wait_records(1, operation="batches", outcome="client_left")
        assert [batch["id"] for batch in found.do("GET", BATCHES).json["data"]] == list(found.account.batches)


def test_a_large_batch_is_served(kept: House) -> None:
    body = batch_of(*["claude-alias"] * 2000, text="x" * 200)
    answer = kept.gateway.post(encoded(body), BATCHES)
    assert answer.status == 200
    arrived = kept.provider.received[-1].json["requests"]
    assert {each["params"]["model"] for each in arrived} == {UPSTREAM}
