"""What a process counts, and the text that comes of it."""

import os
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from accounting.money.entry import Attempt, Entry
from gateway_project.client_address import forwarded_address
from gateway_project.exposition import families, text_of
from gateway_project.metrics import Figures
from gateway_project.workers import Slot


def entry(**fields: object) -> Entry:
    attempts = [Attempt("one", "m", 529, "overloaded", 3.0), Attempt("two", "m", 200, "", 4.0)]
    usual = {"provider": "two", "outcome": "served", "status": 200, "stream": True, "ttft_ms": 120.0}
    values = {**usual, "duration_ms": 900.0, "tokens_input": 7, "tokens_output": 5, "attempts": attempts, **fields}
    return Entry("req_1", 1.0, **values)  # type: ignore[arg-type]


def samples(figures: Figures, accept: str = "") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    body, content_type = text_of({"0": families(figures, {"requests_in_flight": 3})}, accept)
    read = read_openmetrics if "openmetrics" in content_type else read_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in read(body.decode())
        for sample in family.samples
    }


def value(found: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(number for (each, has), number in found.items() if each == name and wanted <= set(has))


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_a_request_shows_in_every_figure_that_it_touches(accept: str) -> None:
    figures = Figures()
    figures.count(entry(cost_usd=Decimal("0.000000000001")))
    figures.count(entry(outcome="upstream_error", status=529, ttft_ms=None, attempts=[Attempt("one", "m", 0, "x", 1)]))
    found = samples(figures, accept)
    served = {"format": "anthropic", "operation": "messages", "outcome": "served", "provider": "two", "status": "2xx"}
    assert value(found, "gateway_requests_total", stream="yes", **served) == 1
    assert value(found, "gateway_requests_total", outcome="upstream_error", status="5xx") == 1
    assert value(found, "gateway_upstream_attempts_total", provider="one", result="529") == 1
    assert value(found, "gateway_upstream_attempts_total", provider="one", result="no_answer") == 1
    assert value(found, "gateway_tokens_total", provider="two", kind="input") == 14
    assert value(found, "gateway_first_byte_seconds_count", provider="two") == 1
    assert value(found, "gateway_first_byte_seconds_bucket", provider="two", le="0.1") == 0
    assert value(found, "gateway_first_byte_seconds_bucket", provider="two", le="0.25") == 1
    assert value(found, "gateway_request_seconds_sum", provider="two") == pytest.approx(1.8)
    assert value(found, "gateway_cost_usd_total", provider="two") == pytest.approx(1e-12)
    assert value(found, "gateway_requests_in_flight") == 3
    assert value(found, "process_resident_memory_bytes") > 1_000_000


def test_a_value_on_a_bound_belongs_to_it() -> None:
    figures = Figures()
    figures.count(entry(ttft_ms=100.0))
    found = samples(figures)
    assert value(found, "gateway_first_byte_seconds_bucket", le="0.1") == 1
    assert value(found, "gateway_first_byte_seconds_bucket", le="0.05") == 0


def test_texts_that_clients_choose_cannot_break_the_page() -> None:
    figures = Figures()
    figures.count(entry(provider='a"b\\c\nd', attempts=[]))
    assert value(samples(figures), "gateway_requests_total", provider='a"b\\c\nd') == 1


def test_the_number_of_rows_is_bounded_and_nothing_is_lost() -> None:
    figures = Figures(most_rows=10)
    for number in range(100):
        figures.count(entry(provider=f"p{number}", attempts=[Attempt(f"p{number}", "m", 200, "", 1.0)]))
    assert len(figures.rows) <= 11
    assert len(figures.attempts) <= 11
    found = samples(figures)
    assert value(found, "gateway_requests_total") == 100
    assert value(found, "gateway_upstream_attempts_total") == 100
    assert value(found, "gateway_requests_total", provider="other") == 90


def test_workers_tell_each_other_and_forget_the_dead(tmp_path: Path) -> None:
    first, second = Slot(tmp_path), Slot(tmp_path)
    assert (first.number, second.number) == (0, 1)
    figures = Figures()
    figures.count(entry())
    second.publish(families(figures, {}))
    others = first.others()
    assert list(others) == ["1"]
    body, _ = text_of({"0": families(figures, {}), **others}, "")
    assert b'worker="0"' in body
    assert b'worker="1"' in body
    os.close(second._descriptor)  # as the death of its process does
    assert first.others() == {}
    assert Slot(tmp_path).number == 1


def test_half_written_or_foreign_figures_are_passed_over(tmp_path: Path) -> None:
    first, second = Slot(tmp_path), Slot(tmp_path)
    (tmp_path / f"{second.number}.json").write_bytes(b'[{"name"')
    assert first.others() == {}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], ""),  # a proxy on this machine that nobody named
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),  # what a stranger wrote himself does not count
        ("10.0.0.1", ["203.0.113.9, 10.0.0.7"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9", "10.0.0.7"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)
def test_whose_address_counts(peer: str, forwarded: list[str], expected: str, settings: object) -> None:
    settings.GATEWAY_TRUSTED_PROXIES = ["10.0.0.0/8"]  # type: ignore[attr-defined]
    headers = [(b"x-forwarded-for", text.encode()) for text in forwarded]
    assert forwarded_address(peer, headers) == expected
