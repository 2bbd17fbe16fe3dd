"""Rules about where requests go: the mode, the address, its path, proxies."""

from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from django.utils.translation import gettext as _

from accounting.clients.blocks import ANTHROPIC, BEDROCK, VERTEX
from accounting.clients.findings import BAD, GOOD, INFO, WARN, Facts, Finding, about
from accounting.clients.pasted import Given, Pasted

ADDRESSES = {
    ANTHROPIC: "ANTHROPIC_BASE_URL",
    BEDROCK: "ANTHROPIC_BEDROCK_BASE_URL",
    VERTEX: "ANTHROPIC_VERTEX_BASE_URL",
}
SWITCHES = {BEDROCK: "CLAUDE_CODE_USE_BEDROCK", VERTEX: "CLAUDE_CODE_USE_VERTEX"}
# The paths that each format is served at, without a slash at the end; the first is the one to use.
PATHS = {
    ANTHROPIC: ("", "/anthropic"),
    BEDROCK: ("/bedrock", ""),
    VERTEX: ("/vertex/v1", "/vertex", "/vertex_ai/v1", "/vertex_ai", "/v1", ""),
}
_PORTS = {"http": 80, "https": 443}


def mode_of(pasted: Pasted) -> str:
    """The format that Claude Code speaks with these settings."""
    return next((format_ for format_, switch in SWITCHES.items() if pasted.is_on(switch)), ANTHROPIC)


def one_mode(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    if all(pasted.is_on(switch) for switch in SWITCHES.values()):
        second = pasted.get(SWITCHES[VERTEX])
        assert second is not None
        yield about(BAD, second, _("Bedrock and Vertex are both switched on. Keep one of the two."))


def address_is_given(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    mode = mode_of(pasted)
    name = ADDRESSES[mode]
    if pasted.get(name):
        return
    wanted = f"{facts.address}{PATHS[mode][0]}"
    switch = pasted.get(SWITCHES[mode]) if mode in SWITCHES else None
    if switch is None:
        text = _("No %(name)s: requests go to Anthropic itself and not here. Set it to %(wanted)s")
        yield Finding(BAD, text % {"name": name, "wanted": wanted}, name)
    elif pasted.get(ADDRESSES[ANTHROPIC]):
        text = _(
            "With %(switch)s, ANTHROPIC_BASE_URL is not looked at: requests go to the cloud itself. Set %(name)s to %(wanted)s"
        )
        yield about(BAD, switch, text % {"switch": switch.name, "name": name, "wanted": wanted})
    else:
        text = _("No %(name)s: requests go to the cloud itself and not here. Set it to %(wanted)s")
        yield about(BAD, switch, text % {"name": name, "wanted": wanted})


def addresses_of_other_modes(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    mode = mode_of(pasted)
    for other in (BEDROCK, VERTEX):
        given = pasted.get(ADDRESSES[other])
        if given and other != mode:
            text = _("This is only looked at with %(switch)s=1, which is not set.")
            yield about(WARN, given, text % {"switch": SWITCHES[other]})


def address_leads_here(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    mode = mode_of(pasted)
    given = pasted.get(ADDRESSES[mode])
    if given is None:
        return
    found, here = _split(given.value), _split(facts.address)
    wanted = f"{facts.address}{PATHS[mode][0]}"
    if found is None or here is None or not found.hostname or found.scheme not in _PORTS:
        text = _("This is no address. Set it to %(wanted)s")
        yield about(BAD, given, text % {"wanted": wanted})
    elif (found.hostname, _port(found)) != (here.hostname, _port(here)):
        text = _("Requests go to %(host)s, which is not this gateway. Set it to %(wanted)s")
        yield about(BAD, given, text % {"host": found.hostname, "wanted": wanted})
    elif found.scheme != here.scheme:
        text = _("This gateway is reached by %(scheme)s. Set it to %(wanted)s")
        yield about(BAD, given, text % {"scheme": here.scheme, "wanted": wanted})
    else:
        yield _path(given, found.path.rstrip("/"), mode, wanted)


def _path(given: Given, path: str, mode: str, wanted: str) -> Finding:
    if path in PATHS[mode]:
        return about(GOOD, given, _("This leads here."))
    if mode == ANTHROPIC and path.endswith(("/v1", "/v1/messages")):
        text = _("Without %(path)s at its end: Claude Code adds /v1/messages by itself. Set it to %(wanted)s")
        return about(BAD, given, text % {"path": path[path.index("/v1") :], "wanted": wanted})
    text = _("Nothing is served at %(path)s in this mode. Set it to %(wanted)s")
    return about(BAD, given, text % {"path": path[:100], "wanted": wanted})


def what_the_mode_needs(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    needed = {
        BEDROCK: {"AWS_REGION": "us-east-1"},
        VERTEX: {"ANTHROPIC_VERTEX_PROJECT_ID": "any", "CLOUD_ML_REGION": "global"},
    }
    mode = mode_of(pasted)
    for name, example in needed.get(mode, {}).items():
        if pasted.get(name) or (name == "AWS_REGION" and pasted.get("AWS_DEFAULT_REGION")):
            continue
        text = _("%(name)s must be set in this mode, and means nothing here: any will do, such as %(example)s")
        yield Finding(BAD, text % {"name": name, "example": example}, name)


def proxies(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    here = _split(facts.address)
    host = (here.hostname if here else None) or ""
    names = ("HTTPS_PROXY", "https_proxy") if here and here.scheme == "https" else ("HTTP_PROXY", "http_proxy")
    given = next((found for name in (*names, "ALL_PROXY", "all_proxy") if (found := pasted.get(name))), None)
    if given is None or _is_excepted(host, pasted.text("NO_PROXY") or pasted.text("no_proxy")):
        return
    text = _("Requests to this gateway go through a proxy, which may hold streams back or refuse long bodies. "
             "If the gateway is reached directly, add %(host)s to NO_PROXY.")  # fmt: skip
    yield about(WARN, given, text % {"host": host})


def unsafe_connections(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    given = pasted.get("NODE_TLS_REJECT_UNAUTHORIZED")
    if given and given.value.strip() == "0":
        text = _("Certificates are not checked, so anybody in between can read the key. "
                 "Give the authority's certificate with NODE_EXTRA_CA_CERTS instead.")  # fmt: skip
        yield about(BAD, given, text)


def quiet_traffic(pasted: Pasted, facts: Facts) -> Iterator[Finding]:
    given = pasted.get("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC")
    if given and pasted.is_on(given.name):
        yield about(INFO, given, _("This also turns off that Claude Code asks the gateway which models there are."))


def _is_excepted(host: str, exceptions: str) -> bool:
    for one in exceptions.replace(",", " ").split():
        name = one.split(":")[0].removeprefix("*").lower()
        if name == "" or host == name.lstrip(".") or host.endswith(f".{name.lstrip('.')}"):
            return True
    return False


def _split(address: str) -> SplitResult | None:
    try:
        found = urlsplit(address.strip())
        return found if found.port is None or found.port else None
    except ValueError:
        return None


def _port(address: SplitResult) -> int | None:
    return address.port or _PORTS.get(address.scheme)
