"""Files: passed through unchanged, owned by teams."""

from collections.abc import Iterator

import pytest

from tests.fake_provider import Die, Hang, error, raw, reply, stream
from tests.gateway.bodies import ask, assert_error
from tests.gateway.keeping import FILES, House, form, house
from tests.harness import KEYS, Template

BETA = KEYS["beta"]  # of another team


@pytest.fixture(scope="module")
def running(template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    environment = {"GATEWAY_MAX_BODY_BYTES": "1000000"}
    with house(template, tmp_path_factory.mktemp("files"), environment=environment) as found:
        yield found


@pytest.fixture
def kept(running: House) -> Iterator[House]:
    running.provider.reset()
    yield running
    assert running.provider.violations == []
    assert running.provider.unused_answers == 0


def test_the_form_arrives_as_it_was_sent(kept: House) -> None:
    body, content_type = form(bytes(range(256)) * 1000)
    answer = kept.gateway.post(body, FILES + "?beta=true", headers=[("content-type", content_type)])
    assert answer.status == 200
    arrived = kept.provider.received[-1]
    assert (arrived.body, arrived.value("content-type")) == (body, content_type)
    assert arrived.target == FILES + "?beta=true"
    record = kept.gateway.record(answer.value("request-id"))
    assert (record["operation"], record["outcome"], record["provider"]) == ("files", "served", "anthropic-main")
    assert set(record["tokens"].values()) == {0}


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/octet-stream"])
def test_a_download_is_what_was_uploaded_whatever_it_is(content_type: str, kept: House) -> None:
    content = b"<html>\r\n\x00" * 50_000
    file = kept.upload(content, content_type=content_type)
    answer = kept.do("GET", f"{FILES}/{file}/content")
    assert (answer.status, answer.body) == (200, content)
    assert answer.value("content-type") == content_type
    assert answer.value("content-length") == str(len(content))
    assert answer.value("request-id").startswith("req_")


def test_another_team_neither_reads_nor_deletes_nor_sees_it(kept: House) -> None:
    mine, theirs = kept.upload(), kept.upload(key=BETA)
    seen = len(kept.provider.received)
    unknown = kept.do("GET", f"{FILES}/file_of_nobody", BETA).json["error"]
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        answer = kept.do(method, f"{FILES}/{mine}{path}", BETA)
        assert answer.status == 404
        assert answer.json["error"] == unknown
    assert len(kept.provider.received) == seen
    listed = [file["id"] for file in kept.do("GET", f"{FILES}?limit=100", BETA).json["data"]]
    assert theirs in listed
    assert mine not in listed
    assert kept.do("GET", f"{FILES}?ids={mine}&ids={theirs}", BETA).json["data"] == [kept.account.files[theirs].shown]
    assert kept.do("GET", f"{FILES}/{mine}", KEYS["narrow"]).json == kept.account.files[mine].shown
    # A batch's address does not lead to a file.
    assert kept.do("GET", f"/v1/messages/batches/{mine}").status == 404


def test_another_teams_file_cannot_be_read_through_a_model(kept: House) -> None:
    theirs, seen = kept.upload(key=BETA), len(kept.provider.received)
    block = {"type": "document", "source": {"type": "file", "file_id": theirs}}
    body = ask(messages=[{"role": "user", "content": [block]}])
    answer = kept.gateway.post(body)
    assert assert_error(answer, 404, "not_found_error") == f"File not found: {theirs}"
    batch = {"requests": [{"custom_id": "one", "params": body}]}
    assert kept.gateway.post(batch, "/v1/messages/batches").status == 404
    assert len(kept.provider.received) == seen


def test_pages_by_cursor_and_by_id(kept: House) -> None:
    made = [kept.upload(key=BETA) for _ in range(3)][::-1]
    first = kept.do("GET", f"{FILES}?limit=2", BETA).json
    assert [file["id"] for file in first["data"]] == made[:2]
    assert (first["has_more"], first["last_id"]) == (True, made[1])
    second = kept.do("GET", f"{FILES}?limit=1&page={first['next_page']}", BETA).json
    assert [file["id"] for file in second["data"]] == [made[2]]
    assert second == kept.do("GET", f"{FILES}?limit=1&after_id={made[1]}", BETA).json
    assert_error(kept.do("GET", f"{FILES}?page=page_%25", BETA), 400, "invalid_request_error")


def test_a_deleted_file_is_gone(kept: House) -> None:
    file = kept.upload()
    assert kept.do("DELETE", f"{FILES}/{file}").json == {"id": file, "type": "file_deleted"}
    seen = len(kept.provider.received)
    assert_error(kept.do("GET", f"{FILES}/{file}"), 404, "not_found_error")
    assert len(kept.provider.received) == seen


def test_a_file_that_is_too_large_is_refused(kept: House) -> None:
    body, content_type = form(b"x" * 1_000_001)
    answer = kept.gateway.post(body, FILES, headers=[("content-type", content_type)])
    assert_error(answer, 413, "request_too_large")
    assert kept.provider.received == []


def test_a_form_that_the_provider_refuses_is_nobodys(kept: House) -> None:
    kept.provider.script(reply(400, error("invalid_request_error", "file: strange")))
    body, content_type = form(b"x")
    answer = kept.gateway.post(body, FILES, headers=[("content-type", content_type)])
    assert assert_error(answer, 400, "invalid_request_error") == "file: strange"


@pytest.mark.parametrize("answer", [b"{}", b'{"id":"../x"}', b"no JSON", b'{"id":7}'])
def test_an_answer_without_an_id_is_an_upstreams_failure(answer: bytes, kept: House) -> None:
    kept.provider.script(reply(200, answer))
    body, content_type = form(b"x")
    assert_error(kept.gateway.post(body, FILES, headers=[("content-type", content_type)]), 502, "api_error")


def test_an_id_that_is_owned_already_stays_its_owners(kept: House) -> None:
    file = kept.upload()
    kept.provider.script(reply(200, {"id": file, "type": "file"}))
    body, content_type = form(b"x")
    answer = kept.gateway.post(body, FILES, key=BETA, headers=[("content-type", content_type)])
    assert_error(answer, 502, "api_error")
    assert kept.do("GET", f"{FILES}/{file}", BETA).status == 404
    assert kept.do("GET", f"{FILES}/{file}").status == 200


def test_a_download_that_breaks_does_not_look_complete(kept: House) -> None:
    file = kept.upload()
    path = f"{FILES}/{file}/content"
    kept.provider.script(stream(b"half", Die(), content_type="text/plain"), model=f"GET {path}")
    with kept.gateway.client() as client:
        client.request("GET", path, [("authorization", f"Bearer {KEYS['main']}")])
        request_id = client.head().value("request-id")
        with pytest.raises((EOFError, ConnectionError)):
            client.rest()
    assert kept.gateway.record(request_id)["outcome"] == "upstream_error"


def test_a_client_that_leaves_a_download_ends_it(kept: House) -> None:
    file = kept.upload()
    path = f"{FILES}/{file}/content"
    kept.provider.script(stream(b"half", Hang(), content_type="text/plain"), model=f"GET {path}")
    with kept.gateway.client() as client:
        client.request("GET", path, [("authorization", f"Bearer {KEYS['main']}")])
        request_id = client.head().value("request-id")
        client.piece()
        client.leave()
    kept.provider.wait_closed(kept.provider.received[-1], timeout=5)
    record = kept.gateway.record(request_id)
    assert (record["outcome"], record["estimated"]) == ("client_left", False)


def test_a_provider_that_cannot_be_reached_is_said(kept: House) -> None:
    file = kept.upload()
    # A connection that dies while it is idle is no failure: a read is sent once more, on a new one.
    kept.provider.script(raw(Die()), raw(Die()))
    answer = kept.do("GET", f"{FILES}/{file}")
    assert_error(answer, 502, "api_error")
    record = kept.gateway.record(answer.value("request-id"))
    assert (record["outcome"], len(record["attempts"])) == ("upstream_error", 1)
