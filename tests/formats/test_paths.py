"""Bedrock's and Vertex's paths, as each client spells them; and what no path may carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats import bedrock, vertex
from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, MESSAGES, MODELS, VERTEX
from routing.formats.faults import InvalidModel, NotBridgeable
from routing.formats.names import UNSUPPORTED, Address, check_model, upstream_path
from routing.formats.peek import BadBody

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
PLACE = "/projects/p/locations/us-east5/publishers/anthropic/models"

BEDROCK_PATHS = {
    # Claude Code, Python and TypeScript SDK
    f"/model/{HAIKU}/invoke": Address(BEDROCK, MESSAGES, HAIKU),
    f"/model/{HAIKU}/invoke-with-response-stream": Address(BEDROCK, MESSAGES, HAIKU, True),
    "/model/" + ARN.replace("/", "%2F") + "/invoke": Address(BEDROCK, MESSAGES, ARN),
    # boto3
    f"/model/{HAIKU.replace(':', '%3A')}/invoke": Address(BEDROCK, MESSAGES, HAIKU),
    "/model/" + ARN.replace(":", "%3A").replace("/", "%2F") + "/count-tokens": Address(BEDROCK, COUNT_TOKENS, ARN),
    # a proxy before us decoded the path
    f"/model/{ARN}/invoke": Address(BEDROCK, MESSAGES, ARN),
    "/model/claude%3a1/invoke": Address(BEDROCK, MESSAGES, "claude:1"),
    "/model/claude-opus-4-6[1m]/invoke": Address(BEDROCK, MESSAGES, "claude-opus-4-6[1m]"),
    "/model/claude-opus-4-6%5B1m%5D/invoke": Address(BEDROCK, MESSAGES, "claude-opus-4-6[1m]"),
    "/model/claude-haiku-4-5@20251001/invoke": Address(BEDROCK, MESSAGES, "claude-haiku-4-5@20251001"),
    "//model//sonnet/invoke": Address(BEDROCK, MESSAGES, "sonnet"),
    "/bedrock/model/sonnet/invoke": Address(BEDROCK, MESSAGES, "sonnet"),
    "/bedrock//model/sonnet/invoke/": Address(BEDROCK, MESSAGES, "sonnet"),
    "/model/sonnet/invoke?trace=1": Address(BEDROCK, MESSAGES, "sonnet"),
    "/model/sonnet/converse": Address(BEDROCK, UNSUPPORTED, "sonnet"),
    "/model/sonnet/converse-stream": Address(BEDROCK, UNSUPPORTED, "sonnet", True),
    "/inference-profiles": Address(BEDROCK, MODELS),
    "//inference-profiles?type=SYSTEM_DEFINED": Address(BEDROCK, MODELS),
    "/bedrock/inference-profiles/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fabc": Address(
        BEDROCK, MODELS, "arn:aws:bedrock:us-east-1:1:inference-profile/abc"
    ),
    # where the TypeScript client counts, in the shape of Messages
    "/bedrock/v1/messages/count_tokens": Address(ANTHROPIC, COUNT_TOKENS),
    "/bedrock/v1/messages/count_tokens?beta=true": Address(ANTHROPIC, COUNT_TOKENS),
}


@pytest.mark.parametrize("path", BEDROCK_PATHS)
def test_a_bedrock_path_says_operation_and_model(path: str) -> None:
    assert bedrock.parse_path(path.encode()) == BEDROCK_PATHS[path]


VERTEX_PATHS = {
    f"{mount}{version}{PLACE}/{spelled}:{method}": Address(VERTEX, MESSAGES, model, stream)
    for mount in ("", "/vertex", "/vertex_ai")
    for version in ("", "/v1")
    for spelled, model in (
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5@20251001"),
        ("claude-haiku-4-5%4020251001", "claude-haiku-4-5@20251001"),
        ("team:big", "team:big"),
        ("a%3Bb", "a;b"),
        ("a%2Fb", "a/b"),
        ("sonnet[1m]", "sonnet[1m]"),
    )
    for method, stream in (("rawPredict", False), ("streamRawPredict", True))
} | {
    f"/vertex//v1{PLACE}/count-tokens:rawPredict": Address(VERTEX, COUNT_TOKENS),
    f"{PLACE}/sonnet%3ArawPredict": Address(VERTEX, MESSAGES, "sonnet"),
    f"/v1{PLACE}/sonnet:generateContent": Address(VERTEX, UNSUPPORTED, "sonnet"),
    f"/v1{PLACE}/count-tokens:streamRawPredict": Address(VERTEX, UNSUPPORTED),
}


@pytest.mark.parametrize("path", VERTEX_PATHS)
def test_a_vertex_path_says_operation_and_model(path: str) -> None:
    assert vertex.parse_path(path.encode()) == VERTEX_PATHS[path]


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/v1/messages",
            "/model",
            "/model/x",
            "/model/x/delete",
            "/models/x/invoke",
            "/bedrock",
            "/x/model/y/invoke",
        ),
        f"/v2{PLACE}/sonnet:rawPredict",
        "/v1/projects/p/locations/l/publishers/google/models/gemini:rawPredict",
        f"{PLACE}/sonnet",
    ],
)
def test_a_path_of_nobody_is_nobodys(path: str) -> None:
    assert bedrock.parse_path(path.encode()) is None
    assert vertex.parse_path(path.encode()) is None


BAD_MODELS = {
    "control character": b"a%00b",
    "line break": b"a%0d%0ab",
    "escape character": b"a%1bb",
    "delete": b"a%7fb",
    "space": b"a%20b",
    "next line": "a\x85b".encode(),
    "right to left": "a\u202eb".encode(),
    "parent folder": b"..",
    "parent folder, encoded": b"%2e%2e",
    "parent folder inside": b"a%2F..%2Fb",
    "this folder": b"a%2F.%2Fb",
    "empty part": b"a%2F%2Fb",
    "leading slash": b"%2Fa",
    "backslash": b"a%5Cb",
    "encoded twice": b"a%252Fb",
    "broken encoding": b"a%2",
    "broken encoding in letters": b"a%zzb",
    "not UTF-8": b"a%ff",
    "too long": b"a" * 3000,
}


@pytest.mark.parametrize("what", BAD_MODELS)
def test_a_model_id_that_no_path_can_carry_is_refused(what: str) -> None:
    with pytest.raises(InvalidModel):
        bedrock.parse_path(b"/model/" + BAD_MODELS[what] + b"/invoke")
    with pytest.raises(InvalidModel):
        vertex.parse_path(PLACE.encode() + b"/" + BAD_MODELS[what] + b":rawPredict")


def test_a_refused_id_is_a_bad_request() -> None:
    assert issubclass(InvalidModel, BadBody)


@given(st.binary(max_size=80))
def test_no_path_breaks_the_parsers(raw: bytes) -> None:
    for path in (raw, b"/model/" + raw + b"/invoke", PLACE.encode() + b"/" + raw + b":rawPredict"):
        for parse_path in (bedrock.parse_path, vertex.parse_path):
            try:
                address = parse_path(path)
            except InvalidModel:
                continue
            if address is not None and address.model:
                assert check_model(address.model) == address.model


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\\%\x7f"), min_size=1, max_size=60)
)
def test_the_path_for_an_upstream_is_read_back_as_the_same_model(model: str) -> None:
    try:
        check_model(model)
    except InvalidModel:
        return
    there = bedrock.parse_path(upstream_path(BEDROCK, MESSAGES, model, True, "", "").encode())
    assert there == Address(BEDROCK, MESSAGES, model.removesuffix("[1m]") or model, True)
    there = vertex.parse_path(upstream_path(VERTEX, MESSAGES, model, False, "eu", "p").encode())
    assert there == Address(VERTEX, MESSAGES, model.removesuffix("[1m]") or model)


def test_upstream_paths_are_encoded() -> None:
    assert upstream_path(BEDROCK, MESSAGES, HAIKU, False, "", "") == (
        "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke"
    )
    assert upstream_path(BEDROCK, MESSAGES, ARN, True, "", "") == (
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc"
        "/invoke-with-response-stream"
    )
    assert upstream_path(VERTEX, MESSAGES, "claude-haiku-4-5@20251001", True, "global", "my-project") == (
        "/v1/projects/my-project/locations/global/publishers/anthropic/models/claude-haiku-4-5@20251001:streamRawPredict"
    )
    assert upstream_path(VERTEX, COUNT_TOKENS, "x", False, "eu", "p").endswith("/models/count-tokens:rawPredict")
    assert upstream_path(ANTHROPIC, COUNT_TOKENS, "x", False, "", "") == "/v1/messages/count_tokens"


@pytest.mark.parametrize(
    ("model", "foundation"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-haiku-4-5-20251001-v1%3A0"),
        ("us-gov.anthropic.claude-opus-5-5", "anthropic.claude-opus-5-5"),
        ("anthropic.claude-opus-5-5", "anthropic.claude-opus-5-5"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-5-5", "anthropic.claude-opus-5-5"),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-opus-5-5", "anthropic.claude-opus-5-5"),
    ],
)
def test_bedrock_counts_by_the_foundation_model(model: str, foundation: str) -> None:
    assert upstream_path(BEDROCK, COUNT_TOKENS, model, False, "", "") == f"/model/{foundation}/count-tokens"


def test_an_application_profile_cannot_count() -> None:
    with pytest.raises(NotBridgeable) as refused:
        upstream_path(BEDROCK, COUNT_TOKENS, ARN, False, "", "")
    assert refused.value.status == 501


@pytest.mark.parametrize(("region", "project"), [("", "p"), ("eu", ""), ("../x", "p"), ("eu", "a/b"), ("eu", "a b")])
def test_a_place_that_no_path_can_carry_is_refused(region: str, project: str) -> None:
    with pytest.raises(InvalidModel):
        upstream_path(VERTEX, MESSAGES, "claude-opus-5-5", False, region, project)
