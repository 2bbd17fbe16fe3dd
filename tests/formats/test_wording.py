"""What clients repair themselves by is kept or classified; what nobody should see is taken out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.wording import classify, is_kept, rejected_beta, scrub, translated

BETAS = ("structured-outputs-2025-11-13", "effort-2025-11-24", "odd_value")
CLASSES = {
    "messages.3: unexpected role: system": "mid_conv_system",
    'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter': "mid_conv_system",
    "system.0.cache_control.scope: Extra inputs are not permitted": "cache_control_field",
    "messages.1.content.0: Invalid `signature` in `thinking` block": "thinking_signature",
    "thinking.type.enabled is not supported for this model. Use another.": "thinking_type:enabled",
    '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"': "thinking_type:enabled",
    "adaptive thinking is not supported on this model": "thinking_type:adaptive",
    "thinking.type: Input tag 'adaptive' found using 'type' does not match": "thinking_type:adaptive",
    "output_config.format: Extra inputs are not permitted": "structured_outputs_unsupported",
    "structured outputs are not available": "structured_outputs_unsupported",
    "output_config.effort: This model does not support effort": "effort_unsupported",
    "messages: too many images: 120 > 100": "media_budget",
    "messages.0.content.1.image.source: Could not process image": "image_block",
    "messages.0.content.1: Could not process PDF": "document_block",
    "the prompt exceeds the context window": "prompt_too_long",
    "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens": "max_tokens_context_overflow",
    "The maximum tokens you requested exceeds the model limit of 4096": "max_tokens_context_overflow",
    "invalid beta flag: odd_value": "beta_header:odd_value",
    "invalid beta flag: structured-outputs-2025-11-13": "beta_header:structured-outputs-2025-11-13",
    "Unexpected value(s) `effort-2025-11-24` for the `anthropic-beta` header": "beta_header:effort-2025-11-24",
    "anthropic_beta: new-thing-2027-01-01 is unknown": "beta_header:new-thing-2027-01-01",
    "messages: roles must alternate": "",
    "invalid beta flag": "",
}


@pytest.mark.parametrize("message", CLASSES)
def test_row_of_the_capability_classes(message: str) -> None:
    name = CLASSES[message]
    assert classify(message, BETAS) == name
    assert translated(message, BETAS) == (f"capability_rejected: {name}" if name else message)


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 32000 > 200000, decrease input length",
        "Input is too long for requested model.",
        "Input is too long.",
    ],
)
def test_a_sentence_that_clients_know_is_kept_word_for_word(message: str) -> None:
    assert is_kept(message)
    assert translated(message) == message


def test_a_sentence_that_only_looks_like_one_is_not() -> None:
    assert translated("Input is too long!") == "capability_rejected: prompt_too_long"


def test_the_beta_of_a_complaint_is_found_for_a_suggestion() -> None:
    assert rejected_beta("invalid beta flag: odd_value", BETAS) == "odd_value"
    assert rejected_beta("max_tokens: odd_value", BETAS) == ""
    assert rejected_beta("invalid beta flag") == ""
    # Amazon names none: the only one that was sent it must be.
    assert rejected_beta("invalid beta flag", BETAS) == ""
    assert rejected_beta("invalid beta flag", ["odd_value"]) == "odd_value"
    assert rejected_beta("This feature needs another beta", ["odd_value"]) == ""


SECRETS = {
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc": "profile",
    "arn:aws-us-gov:iam::123456789012:role/Gateway": "role",
    "123456789012": "account",
    "AKIAIOSFODNN7EXAMPLE": "access key id",
    "https://internal.example.org/x?y=z": "address",
    "ip-10-0-0-1.ec2.internal": "host",
    "bedrock-runtime.us-east-1.amazonaws.com": "endpoint",
    "us-east5-aiplatform.googleapis.com": "endpoint of Google",
    "10.20.30.40:8443": "address with a port",
    "fe80:0:0:0:1:2:3:4": "address of version 6",
    "2001:db8::8a2e:370:7334": "short address of version 6",
    "localhost:8080": "this machine",
    "gateway@my-project.iam.gserviceaccount.com": "service account",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_what_nobody_should_see_is_taken_out(secret: str) -> None:
    for text in (f"No {secret} here", f"({secret})", f'"{secret}"', secret, f"{secret}: denied", f"at {secret}."):
        assert secret not in scrub(text)
        assert secret.rpartition("/")[2] not in scrub(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("on resource projects/my-proj-1/locations/eu", "on resource projects/[removed]/locations/eu"),
        ("consumer 'projects/123456'", "consumer 'projects/[removed]'"),
        ("consumer 'project_number:987654321'.", "consumer 'project_number:[removed]'."),
        ("Project `my-proj-1` was not found", "Project [removed] was not found"),
    ],
)
def test_projects_are_taken_out(text: str, shown: str) -> None:
    assert scrub(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "prompt is too long: 210000 tokens > 200000 maximum",
        "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        "model: claude-haiku-4-5@20251001 not found",
        "The request size (31457281 bytes) exceeds 30.000MB limit.",
        "You don't have access to the model with the specified model ID.",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0 with on-demand throughput isn't supported",
        "at 12:34:56 version 2.1.330",
    ],
)
def test_an_ordinary_sentence_is_left_alone(text: str) -> None:
    assert scrub(text) == text


@given(st.text(max_size=6000))
def test_scrubbing_never_fails_and_is_bounded(text: str) -> None:
    once = scrub(text)
    assert len(once) < 50_000
    classify(text, BETAS)
