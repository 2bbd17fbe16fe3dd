"""The configuration of the three formats: an upstream of each, a route to each, aliases as clients of each write them."""

from collections.abc import Iterable
from dataclasses import dataclass

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.harness.config import KEYS, UPSTREAM_CREDENTIAL, Config, Entry, alias, provider_entry, route, standard_teams
from tests.harness.config import target as to

AWS_KEY_ID, AWS_SECRET, AWS_TOKEN = (
    "AKIAGATEWAYTESTS0001",
    "upstream/secret+of/the+gateway0001",
    "upstream//token+0001==",
)
BEDROCK_BEARER, VERTEX_BEARER = "bedrock-api-key-upstream-0001", "ya29.upstream-access-token-0001"
REGION, LOCATION = "us-east-1", "europe-west1"

# What each upstream calls the model that serves a pair.
TARGETS = {ANTHROPIC: "claude-opus-5-5", BEDROCK: "us.anthropic.claude-opus-5-5", VERTEX: "claude-opus-5-5"}
OLDER = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
APPLICATION_PROFILE = "arn:aws:bedrock:us-east-1:000011112222:application-inference-profile/a1b2c3d4e5f6"


def name_for(client: str, upstream: str) -> str:
    """The alias by which a client of one format reaches the upstream of another."""
    if client == BEDROCK:
        return f"us.anthropic.claude-via-{upstream}-20260101-v1:0"
    if client == VERTEX:
        return f"claude-via-{upstream}@20260101"
    return f"claude-via-{upstream}-20260101"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the upstreams are; those left empty are not configured."""

    anthropic: str
    bedrock: str
    vertex: str
    project: str
    token_uri_json: str  # the service account's key file


def bedrock_entry(name: str, url: str, **settings: object) -> Entry:
    """A provider of Bedrock's format, paid with temporary keys."""
    credential = {
        "kind": "aws",
        "access_key_id": AWS_KEY_ID,
        "secret_access_key": "${AWS_SECRET}",
        "session_token": "${AWS_TOKEN}",
    }
    return provider_entry(name, url, **{"format": BEDROCK, "region": REGION, "credential": credential, **settings})


def vertex_entry(name: str, url: str, project: str, **settings: object) -> Entry:
    """A provider of Vertex's format, paid with the service account in GOOGLE_KEY_FILE."""
    credential = {"kind": "google_service_account", "json": "${GOOGLE_KEY_FILE}"}
    place = {"format": VERTEX, "region": LOCATION, "project": project, "credential": credential}
    return provider_entry(name, url, **{**place, **settings})


def formats_config(where: Addresses) -> Config:
    """A route per upstream under the names of every format; and the routes that single tests need.

    `claude-capable` goes to Bedrock first and to Anthropic where Bedrock cannot; `claude-drained-*` read a stream to its
    end when its client leaves; `claude-hasty-*` give up after half a second; `claude-older` is a model that knows the
    first API version only; `claude-profile` an application inference profile, by which nothing can be counted.
    """
    providers, routes, aliases = [], [], []
    urls = {ANTHROPIC: where.anthropic, BEDROCK: where.bedrock, VERTEX: where.vertex}
    for upstream in (ANTHROPIC, BEDROCK, VERTEX):
        for kind, settings in _KINDS.items():
            name = upstream if kind == "via" else f"{upstream}-{kind}"
            providers.append(_entry(upstream, name, urls[upstream], where.project, settings))
            routes.append(route(name, to(name, TARGETS[upstream]), max_attempts=1))
            if kind != "via":
                aliases.append(alias(f"claude-{kind}-{upstream}", name))
        aliases += [alias(name_for(client, upstream), upstream) for client in (ANTHROPIC, BEDROCK, VERTEX)]
    capable = (to("bedrock-apart", TARGETS[BEDROCK]), to("anthropic-apart", TARGETS[ANTHROPIC], 1))
    routes += [
        route("capable", *capable, max_attempts=2),
        route("older", to(BEDROCK, OLDER), max_attempts=1),
        route("profile", to(BEDROCK, APPLICATION_PROFILE), max_attempts=1),
        route("two", to("bedrock-apart", TARGETS[BEDROCK]), to("vertex-apart", TARGETS[VERTEX], 1), max_attempts=2),
    ]
    aliases += [
        alias("claude-capable", "capable"),
        alias("claude-older", "older"),
        alias(OLDER, "older"),
        alias("claude-profile", "profile"),
        alias(APPLICATION_PROFILE, "profile"),
        alias("claude-two-clouds", "two"),
        alias("claude-opus-4-5@20251101", "two"),
    ]
    return Config(providers, routes, aliases, _teams(), environment(where.token_uri_json))


def _teams() -> list[Entry]:
    """The usual teams; the narrow key may use the Bedrock client's name of the Bedrock upstream and nothing else."""
    teams = standard_teams()
    for key in teams[0]["projects"][0]["keys"]:
        if key["name"] == "narrow":
            key["allowed_models"] = [name_for(BEDROCK, BEDROCK)]
    return teams


_KINDS: dict[str, dict[str, object]] = {
    "via": {},
    "apart": {},  # whose failures do not rest the targets of other tests
    "drained": {"on_client_disconnect": "drain"},
    "hasty": {"first_byte_timeout": 0.5, "idle_timeout": 0.5, "connect_timeout": 5},
}


def _entry(upstream: str, name: str, url: str, project: str, settings: dict[str, object]) -> Entry:
    if upstream == BEDROCK:
        return bedrock_entry(name, url, **settings)
    if upstream == VERTEX:
        return vertex_entry(name, url, project, **settings)
    return provider_entry(name, url, **settings)


def environment(google_key_file: str = "") -> dict[str, str]:
    """The secrets that the entries refer to."""
    return {
        "UPSTREAM_CREDENTIAL": UPSTREAM_CREDENTIAL,
        "AWS_SECRET": AWS_SECRET,
        "AWS_TOKEN": AWS_TOKEN,
        "BEDROCK_BEARER": BEDROCK_BEARER,
        "VERTEX_BEARER": VERTEX_BEARER,
        "GOOGLE_KEY_FILE": google_key_file or "{}",
        **{f"KEY_{name.upper()}": secret for name, secret in KEYS.items()},
    }


def own_config(providers: Iterable[Entry], google_key_file: str = "") -> Config:
    """A configuration in which each provider has a route and an alias `claude-of-NAME`."""
    listed = list(providers)
    models = {entry["name"]: TARGETS[entry["format"]] for entry in listed}
    return Config(
        listed,
        [route(name, to(name, model), max_attempts=2) for name, model in models.items()],
        [alias(f"claude-of-{name}", name) for name in models],
        standard_teams(),
        environment(google_key_file),
    )
