"""Blocks to copy name what is there, and the check of settings finds what goes wrong, in its line, without a key in what it
says."""

import json
import shlex
import subprocess
from typing import Any

import pytest

from accounting.access.offers import OfferedName, is_within
from accounting.access.secrets import new_secret
from accounting.clients.blocks import BEDROCK, FORMATS, VERTEX, Reader, exports, in_shell
from accounting.clients.checking import check, works
from accounting.clients.findings import BAD, GOOD, INFO, WARN, Facts, Finding, KeyFact
from accounting.clients.pasted import read_pasted, shown_settings, shown_shell
from accounting.clients.pins import PINS, pins_for
from accounting.clients.recipes import TOOLS, claude_code, variables

HERE = "https://gateway.example.org"
KEY, OLD, REVOKED, EXPIRED, DISABLED = (new_secret() for _ in range(5))
NAMES = (
    "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-2", "claude-sonnet-4-5", "private-model",
)  # fmt: skip
FACTS = Facts(
    address=HERE,
    names=(*(OfferedName(name) for name in NAMES), OfferedName("old-model", ending=True, successor="claude-opus-5-5"),
           OfferedName("team-*")),
    allowed_models=("claude-*", "team-*", "old-model"),
    keys={
        KEY: KeyFact("laptop", "usable"), OLD: KeyFact("laptop", "usable", is_old_secret=True),
        REVOKED: KeyFact("lost", "revoked"), EXPIRED: KeyFact("gone", "expired"), DISABLED: KeyFact("off", "disabled"),
    },
)  # fmt: skip
READER = Reader(HERE, KEY, NAMES)
FEWER_BETAS = "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS"
PINNED = dict(READER.pins.variables)
MESSAGES = {"ANTHROPIC_BASE_URL": HERE, "ANTHROPIC_AUTH_TOKEN": KEY, **PINNED}
ON_BEDROCK = {**dict(variables(READER, BEDROCK))}
ON_VERTEX = {**dict(variables(READER, VERTEX))}


def without(given: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in given.items() if name not in names}


def found(env: dict[str, str], facts: Facts = FACTS, **settings: Any) -> list[Finding]:
    return check(read_pasted(json.dumps({"env": env, **settings}, indent=1), ""), facts)


def wrong(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(each.level, each.name) for each in findings if each.level in (BAD, WARN)]


class TestRules:
    @pytest.mark.parametrize("given", [MESSAGES, ON_BEDROCK, ON_VERTEX], ids=["messages", "bedrock", "vertex"])
    def test_what_the_set_up_page_gives_has_nothing_wrong(self, given: dict[str, str]) -> None:
        findings = found(given)
        assert wrong(findings) == []
        assert works(findings)
        assert {each.level for each in findings} == {GOOD}

    @pytest.mark.parametrize("format_", FORMATS)
    def test_nor_has_what_it_gives_with_a_command_that_prints_the_key(self, format_: str) -> None:
        for block in claude_code(Reader(HERE, names=NAMES), format_):
            if block.id in ("helper", "managed"):
                assert wrong(check(read_pasted(block.text, ""), FACTS)) == []

    @pytest.mark.parametrize(
        ("given", "level", "name", "words"),
        [
            # the address
            (without(MESSAGES, "ANTHROPIC_BASE_URL"), BAD, "ANTHROPIC_BASE_URL", "Anthropic itself"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": f"{HERE}/v1"}, BAD, "ANTHROPIC_BASE_URL", "Without /v1"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": f"{HERE}/v1/messages/"}, BAD, "ANTHROPIC_BASE_URL", "Without /v1/messages"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": f"{HERE}/bedrock"}, BAD, "ANTHROPIC_BASE_URL", "Nothing is served"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": "https://other.example.org"}, BAD, "ANTHROPIC_BASE_URL", "not this gateway"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": f"{HERE}:8443"}, BAD, "ANTHROPIC_BASE_URL", "not this gateway"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": "http://gateway.example.org:443"}, BAD, "ANTHROPIC_BASE_URL", "by https"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": "gateway.example.org"}, BAD, "ANTHROPIC_BASE_URL", "no address"),
            ({**MESSAGES, "ANTHROPIC_BASE_URL": "https://[bad"}, BAD, "ANTHROPIC_BASE_URL", "no address"),
            ({**MESSAGES, "ANTHROPIC_BEDROCK_BASE_URL": HERE}, WARN, "ANTHROPIC_BEDROCK_BASE_URL", "USE_BEDROCK=1"),
            # modes
            ({**MESSAGES, "CLAUDE_CODE_USE_BEDROCK": "1"}, BAD, "CLAUDE_CODE_USE_BEDROCK", "ANTHROPIC_BASE_URL is not looked at"),
            ({**ON_BEDROCK, **ON_VERTEX}, BAD, "CLAUDE_CODE_USE_VERTEX", "both switched on"),
            (without(ON_VERTEX, "ANTHROPIC_VERTEX_BASE_URL"), BAD, "CLAUDE_CODE_USE_VERTEX", "cloud itself"),
            (without(ON_BEDROCK, "AWS_REGION"), BAD, "AWS_REGION", "must be set"),
            (without(ON_VERTEX, "CLOUD_ML_REGION"), BAD, "CLOUD_ML_REGION", "must be set"),
            (without(ON_VERTEX, "ANTHROPIC_VERTEX_PROJECT_ID"), BAD, "ANTHROPIC_VERTEX_PROJECT_ID", "must be set"),
            # which variable carries the key
            (without(MESSAGES, "ANTHROPIC_AUTH_TOKEN"), BAD, "ANTHROPIC_AUTH_TOKEN", "No key"),
            ({**MESSAGES, "ANTHROPIC_API_KEY": OLD}, WARN, "ANTHROPIC_API_KEY", "both set and differ"),
            ({**MESSAGES, "AWS_BEARER_TOKEN_BEDROCK": KEY}, WARN, "AWS_BEARER_TOKEN_BEDROCK", "only sent with"),
            ({**ON_BEDROCK, "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1"}, WARN, "CLAUDE_CODE_SKIP_BEDROCK_AUTH", "carry no key"),
            (
                {**without(ON_BEDROCK, "AWS_BEARER_TOKEN_BEDROCK"), "ANTHROPIC_AUTH_TOKEN": KEY},
                BAD, "ANTHROPIC_AUTH_TOKEN", "SKIP_BEDROCK_AUTH=1 this is not sent",
            ),
            (
                {**without(ON_BEDROCK, "AWS_BEARER_TOKEN_BEDROCK"), "ANTHROPIC_AUTH_TOKEN": KEY,
                 "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1"},
                WARN, "ANTHROPIC_AUTH_TOKEN", "Only inference carries",
            ),
            (
                {**without(ON_BEDROCK, "AWS_BEARER_TOKEN_BEDROCK"), "ANTHROPIC_API_KEY": KEY},
                BAD, "ANTHROPIC_API_KEY", "not sent in Bedrock mode",
            ),
            (
                {**without(ON_BEDROCK, "AWS_BEARER_TOKEN_BEDROCK"), "AWS_ACCESS_KEY_ID": "AKIA"},
                BAD, "AWS_ACCESS_KEY_ID", "signed with AWS keys are refused",
            ),
            (without(ON_BEDROCK, "AWS_BEARER_TOKEN_BEDROCK"), BAD, "AWS_BEARER_TOKEN_BEDROCK", "No key"),
            (without(ON_VERTEX, "CLAUDE_CODE_SKIP_VERTEX_AUTH"), BAD, "CLAUDE_CODE_SKIP_VERTEX_AUTH", "asks Google"),
            ({**ON_VERTEX, "CLAUDE_CODE_SKIP_VERTEX_AUTH": "0"}, BAD, "CLAUDE_CODE_SKIP_VERTEX_AUTH", "asks Google"),
            (without(ON_VERTEX, "ANTHROPIC_AUTH_TOKEN"), BAD, "ANTHROPIC_AUTH_TOKEN", "No key"),
            # whose key it is
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": REVOKED}, BAD, "ANTHROPIC_AUTH_TOKEN", "lost is revoked"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": EXPIRED}, BAD, "ANTHROPIC_AUTH_TOKEN", "gone has expired"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": DISABLED}, BAD, "ANTHROPIC_AUTH_TOKEN", "off, its project or its owner"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": OLD}, WARN, "ANTHROPIC_AUTH_TOKEN", "old secret"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": new_secret()}, BAD, "ANTHROPIC_AUTH_TOKEN", "no key of this team"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": KEY[:-1]}, BAD, "ANTHROPIC_AUTH_TOKEN", "incomplete or mistyped"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": f"Bearer {KEY}"}, BAD, "ANTHROPIC_AUTH_TOKEN", "without “Bearer”"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": f" {KEY}"}, BAD, "ANTHROPIC_AUTH_TOKEN", "spaces or quotes"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": new_secret("gwt_")}, BAD, "ANTHROPIC_AUTH_TOKEN", "token of the REST API"),
            ({**MESSAGES, "ANTHROPIC_AUTH_TOKEN": "sk-ant-api03-abc"}, BAD, "ANTHROPIC_AUTH_TOKEN", "Anthropic's own"),
            # models
            ({**MESSAGES, "ANTHROPIC_MODEL": "claude-sonet-5-5"}, BAD, "ANTHROPIC_MODEL", "Perhaps: claude-sonnet-5-5"),
            ({**MESSAGES, "ANTHROPIC_MODEL": "private-model"}, BAD, "ANTHROPIC_MODEL", "may not use it"),
            ({**MESSAGES, "ANTHROPIC_MODEL": "old-model"}, WARN, "ANTHROPIC_MODEL", "Use claude-opus-5-5 instead"),
            (without(ON_BEDROCK, *PINS), WARN, "", "requests of one token"),
            ({**MESSAGES, FEWER_BETAS: "1"}, WARN, FEWER_BETAS, "Not needed"),
            # on the way
            ({**MESSAGES, "HTTPS_PROXY": "http://u:p@proxy:3128"}, WARN, "HTTPS_PROXY", "add gateway.example.org to NO_PROXY"),
            ({**MESSAGES, "https_proxy": "http://proxy", "NO_PROXY": "10.0.0.1,.com"}, WARN, "https_proxy", "NO_PROXY"),
            ({**MESSAGES, "NODE_TLS_REJECT_UNAUTHORIZED": "0"}, BAD, "NODE_TLS_REJECT_UNAUTHORIZED", "not checked"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said(self, given: dict[str, str], level: str, name: str, words: str) -> None:
        findings = found(given)
        fitting = [each for each in findings if (each.level, each.name) == (level, name) and words in each.text]
        assert fitting, findings
        assert works(findings) == (level != BAD)

    @pytest.mark.parametrize(
        "given",
        [
            {**MESSAGES, "ANTHROPIC_BASE_URL": f"{HERE}/"},
            {**MESSAGES, "ANTHROPIC_BASE_URL": "HTTPS://Gateway.Example.org:443/anthropic"},
            {**MESSAGES, "ANTHROPIC_API_KEY": KEY},
            {**MESSAGES, "ANTHROPIC_MODEL": "claude-opus-5-5[1m]"},
            {**MESSAGES, "ANTHROPIC_MODEL": "opus"},
            {**MESSAGES, "ANTHROPIC_MODEL": "team-anything"},
            {**MESSAGES, "HTTPS_PROXY": "http://proxy", "NO_PROXY": "localhost, .example.org"},
            {**MESSAGES, "HTTPS_PROXY": "http://proxy", "no_proxy": "*"},
            {**MESSAGES, "HTTP_PROXY": "http://proxy"},  # the gateway is reached by https
            {**MESSAGES, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
            {**MESSAGES, "CLAUDE_CODE_USE_BEDROCK": "0"},
            {**ON_BEDROCK, "ANTHROPIC_BEDROCK_BASE_URL": HERE},
            {**ON_VERTEX, "ANTHROPIC_VERTEX_BASE_URL": f"{HERE}/vertex"},
            without(MESSAGES, "ANTHROPIC_DEFAULT_OPUS_MODEL"),
        ],
    )
    def test_what_works_is_not_called_wrong(self, given: dict[str, str]) -> None:
        assert wrong(found(given)) == []

    def test_a_name_that_the_key_may_not_ask_for_is_said_even_if_the_team_may(self) -> None:
        narrow = Facts(
            HERE, FACTS.names, FACTS.allowed_models, {KEY: KeyFact("laptop", "usable", False, ["claude-haiku-*"])}
        )
        assert (BAD, "ANTHROPIC_MODEL") in wrong(found(MESSAGES, narrow))

    def test_without_a_default_model_its_variable_is_needed(self) -> None:
        few = Facts(HERE, [OfferedName("team-big")], ("*",), FACTS.keys)
        findings = found({**without(MESSAGES, *PINS), "ANTHROPIC_MODEL": "team-big"}, few)
        assert (WARN, "ANTHROPIC_DEFAULT_HAIKU_MODEL") in wrong(findings)

    def test_a_helper_beside_a_key_is_said(self) -> None:
        assert (WARN, "apiKeyHelper") in wrong(found(MESSAGES, apiKeyHelper="~/key.sh"))
        assert wrong(found(without(MESSAGES, "ANTHROPIC_AUTH_TOKEN"), apiKeyHelper="~/key.sh")) == []


class TestReading:
    def test_settings_beat_the_shell_and_both_lines_are_named(self) -> None:
        settings = json.dumps({"env": MESSAGES}, indent=1)
        findings = check(read_pasted(settings, "# mine\nexport ANTHROPIC_BASE_URL=https://other.example.org"), FACTS)
        (said,) = [each for each in findings if each.source == "shell"]
        assert (said.level, said.name, said.line) == (WARN, "ANTHROPIC_BASE_URL", 2)
        assert "(line 3)" in said.text
        assert works(findings)

    @pytest.mark.parametrize(
        "line",
        [
            "export NAME={}", "NAME={}", "export NAME='{}'", '$env:NAME = "{}"', "set -gx NAME {}", "setx NAME {}",
            "set NAME={}", 'declare -x NAME="{}"', "  export NAME={}  # the gateway", "export NAME={};",
        ],
    )  # fmt: skip
    def test_every_shell_is_read(self, line: str) -> None:
        assert read_pasted("", line.format(HERE)).text("NAME") == HERE

    def test_the_later_line_counts(self) -> None:
        assert read_pasted("", "A_B=1\nA_B=2").shell["A_B"].line == 2

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ('{"env": {"A": 1,}}', "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "an object"),
            ('{"env": []}', "env is an object"),
            ('{"env": {"CLAUDE_CODE_USE_BEDROCK": 1}}', "not a text"),
            ('{"ANTHROPIC_BASE_URL": "https://x"}', "beside env"),
            ("", "no variable"),
            ("\x00\udcff", "not JSON"),
        ],
    )
    def test_what_cannot_be_read_is_said(self, settings: str, words: str) -> None:
        assert any(words in each.text for each in check(read_pasted(settings, ""), FACTS))

    def test_settings_in_the_place_of_the_shell_are_taken_for_what_they_are(self) -> None:
        assert read_pasted("", json.dumps({"env": MESSAGES})).settings["ANTHROPIC_AUTH_TOKEN"].value == KEY

    def test_no_secret_is_in_what_is_said_or_shown(self) -> None:
        canary = "canary-5f3d1e"
        names = ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_ACCESS_KEY",
                 "ANTHROPIC_CUSTOM_HEADERS", "GITHUB_TOKEN", "PS1", "DATABASE_URL", "ANTHROPIC_VERTEX_PROJECT_ID"]  # fmt: skip
        given = dict.fromkeys(names, f"gw_{canary}")
        given |= {
            "HTTPS_PROXY": f"http://user:{canary}@proxy",
            "ANTHROPIC_BASE_URL": f"https://{canary}@x.org/?k={canary}",
        }
        settings = json.dumps(
            {"apiKeyHelper": f"echo {canary}", "env": given, "ANTHROPIC_API_KEY": canary, "other": canary}
        )
        pasted = read_pasted(settings, "\n".join(f"{name}={value}" for name, value in given.items()))
        shown = shown_settings(pasted) + shown_shell(pasted) + repr(pasted) + repr(check(pasted, FACTS))
        assert canary not in shown
        assert "ANTHROPIC_AUTH_TOKEN" in shown

    def test_what_is_shown_again_can_be_checked_again(self) -> None:
        pasted = read_pasted(json.dumps({"env": MESSAGES}), "")
        again = check(read_pasted(shown_settings(pasted), ""), FACTS)
        assert wrong(again) == []
        assert any(each.level == INFO and "not looked at" in each.text for each in again)


class TestRecipes:
    def test_all_variables_of_models_are_pinned_to_names_that_may_be_asked_for(self) -> None:
        assert [name for name, _ in READER.pins.variables] == list(PINS)
        for names in (NAMES, ("team-big",), ("claude-haiku-4-5", "claude-opus-4-1"), ("us.anthropic.claude-opus-5-5",)):
            assert set(dict(pins_for(names).variables).values()) <= set(names)

    def test_the_newest_of_a_family_is_taken_and_a_plain_name_before_a_clouds(self) -> None:
        names = ["claude-opus-4-5-20251101", "claude-opus-4-10", "claude-opus-4-8", "us.anthropic.claude-opus-9"]
        assert pins_for(names).families["opus"] == "claude-opus-4-10"

    @pytest.mark.parametrize("tool", TOOLS)
    def test_every_block_carries_the_address_and_the_key(self, tool: str) -> None:
        for format_ in TOOLS[tool].formats:
            blocks = TOOLS[tool].write(READER, format_)
            text = "\n".join(block.text for block in blocks)
            assert HERE in text
            assert KEY in text
            assert len({block.id for block in blocks}) == len(blocks)

    def test_shells_read_back_what_was_written_whatever_its_characters(self) -> None:
        odd = "imported $HOME `id` \"x\" 'y' \\ ! secret"
        script = f'{exports([("ODD", odd)])}; printf %s "$ODD"'
        assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout == odd
        assert shlex.split(in_shell(odd)) == [odd]


@pytest.mark.parametrize(
    ("pattern", "allowed", "within"),
    [
        ("claude-sonnet-*", ["claude-*"], True),
        ("claude-*", ["claude-sonnet-*"], False),
        ("*-5", ["claude-*"], False),
        ("claude-*-5", ["claude-*"], True),
        ("*", ["claude-*"], True),
        ("claude-opus", ["claude-opus"], True),
        ("anything", ["*"], True),
        ("anything", [], False),
    ],
)
def test_a_pattern_is_within_what_the_team_may_use(pattern: str, allowed: list[str], within: bool) -> None:
    assert is_within(pattern, allowed) is within
