"""What AWS checks: Signature Version 4, written from its specification and not from any library; and a small STS.

The rules are those of "Create a signed AWS API request" in AWS's IAM user guide: host, content-type and every x-amz-*
header must be signed, the path is encoded once more, five minutes of clock skew are forgiven.
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, unquote_to_bytes

from tests.fake_endpoint import Answer, Endpoint

ALGORITHM = "AWS4-HMAC-SHA256"
MOST_SKEW = 300  # seconds
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

RawHeaders = Sequence[tuple[bytes, bytes]]


class SignatureMismatch(Exception):
    """The request would be refused; `reason` says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the authorization header says."""

    key_id: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str


def verify(
    method: str,
    raw_target: bytes,
    headers: RawHeaders,
    body: bytes,
    secret_for: Mapping[str, str],
    region: str,
    service: str,
    *,
    tokens: Mapping[str, str] | None = None,
    now: float | None = None,
) -> None:
    """Returns if AWS would take the signature. Raises `SignatureMismatch` with the reason otherwise.

    `raw_target` is path and query exactly as received; `secret_for` maps access key ids to secret keys, `tokens` those
    of temporary keys to their session tokens; `now` is in seconds since 1970.
    """
    values = _by_name(headers)
    claim = _claim(values)
    _check_scope(claim, region, service)
    moment = _check_time(claim, values, time.time() if now is None else now)
    _check_signed(claim, values)
    secret = secret_for.get(claim.key_id)
    if secret is None:
        raise SignatureMismatch(f"unknown access key {claim.key_id}")
    if "".join(values.get("x-amz-security-token", [])) != (tokens or {}).get(claim.key_id, ""):
        raise SignatureMismatch("wrong or missing session token")
    payload = hashlib.sha256(body).hexdigest()
    if values.get("x-amz-content-sha256", [payload]) != [payload]:
        raise SignatureMismatch("x-amz-content-sha256 is not the hash of the body")
    canonical = "\n".join(
        [
            method.upper(),
            canonical_uri(raw_target.partition(b"?")[0]),
            canonical_query(raw_target.partition(b"?")[2]),
            *(f"{name}:{','.join(' '.join(value.split()) for value in values[name])}" for name in claim.signed),
            "",
            ";".join(claim.signed),
            payload,
        ]
    )
    scope = f"{claim.date}/{region}/{service}/aws4_request"
    text = "\n".join([ALGORITHM, moment, scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
    if not hmac.compare_digest(_signature(secret, scope, text), claim.signature):
        raise SignatureMismatch("the signature is not that of this request")


def canonical_uri(path: bytes) -> str:
    """The sent path without dot segments and doubled slashes, each of its bytes percent-encoded once more."""
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment not in {b"", b"."}:
            kept.append(segment)
    ending = "/" if kept and segments[-1] == b"" else ""
    return "/" + "/".join(_encoded(segment) for segment in kept) + ending


def canonical_query(query: bytes) -> str:
    pairs = []
    for pair in query.split(b"&") if query else []:
        name, _, value = pair.partition(b"=")
        pairs.append((_encoded(unquote_to_bytes(name)), _encoded(unquote_to_bytes(value))))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded(raw: bytes) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in raw)


def _by_name(headers: RawHeaders) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return values


def _claim(values: Mapping[str, list[str]]) -> _Claim:
    given = values.get("authorization", [])
    if len(given) != 1:
        raise SignatureMismatch(f"{len(given)} authorization headers")
    algorithm, _, rest = given[0].partition(" ")
    if algorithm != ALGORITHM:
        raise SignatureMismatch(f"the algorithm is not {ALGORITHM}")
    parts = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    if set(parts) != {"Credential", "SignedHeaders", "Signature"}:
        raise SignatureMismatch("the authorization header has not its three parts")
    credential = parts["Credential"].split("/")
    if len(credential) != 5 or credential[4] != "aws4_request":
        raise SignatureMismatch("the credential's scope is incomplete")
    key_id, date, region, service, _ = credential
    return _Claim(key_id, date, region, service, tuple(parts["SignedHeaders"].split(";")), parts["Signature"])


def _check_scope(claim: _Claim, region: str, service: str) -> None:
    if claim.region != region:
        raise SignatureMismatch(f"signed for the region {claim.region}, not {region}")
    if claim.service != service:
        raise SignatureMismatch(f"signed for the service {claim.service}, not {service}")


def _check_time(claim: _Claim, values: Mapping[str, list[str]], now: float) -> str:
    given = values.get("x-amz-date", [])
    if len(given) != 1:
        raise SignatureMismatch(f"{len(given)} x-amz-date headers")
    try:
        moment = datetime.strptime(given[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureMismatch("x-amz-date has not the form 20261123T120000Z") from None
    if abs(moment.timestamp() - now) > MOST_SKEW:
        raise SignatureMismatch("signed too long ago or in the future")
    if claim.date != given[0][:8]:
        raise SignatureMismatch("the scope has another day than x-amz-date")
    return given[0]


def _check_signed(claim: _Claim, values: Mapping[str, list[str]]) -> None:
    if list(claim.signed) != sorted({name.lower() for name in claim.signed}):
        raise SignatureMismatch("SignedHeaders are not sorted, lower-case and unique")
    for name in claim.signed:
        if name not in values:
            raise SignatureMismatch(f"{name} is signed but not there")
    needed = {"host", "x-amz-date"} | {name for name in values if name.startswith("x-amz-") or name == "content-type"}
    for name in sorted(needed):
        if name not in claim.signed:
            raise SignatureMismatch(f"{name} is not signed")
    if len(values["host"]) != 1:
        raise SignatureMismatch("more than one host")


def _signature(secret: str, scope: str, text: str) -> str:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


@dataclass
class FakeSts(Endpoint):
    """AssumeRole: checks the caller's signature and the form, then gives out keys named ASIAROLE1, ASIAROLE2, ….

    What it gave out is in `secret_for` and `tokens`, as `verify` takes them. `failing` is an error code that it answers
    instead.
    """

    callers: Mapping[str, str]
    region: str
    caller_tokens: Mapping[str, str] = field(default_factory=dict)
    external_id: str = ""
    lifetime: float = 3600
    now: Callable[[], float] = time.time
    failing: str = ""
    forms: list[dict[str, str]] = field(default_factory=list)
    secret_for: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    async def answer(self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        now = self.now()
        form = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        self.forms.append(form)
        if self.failing:
            return self._error(self.failing, f"not for {self.callers}")
        try:
            verify(method, target, headers, body, self.callers, self.region, "sts", tokens=self.caller_tokens, now=now)
        except SignatureMismatch as mismatch:
            return self._error("SignatureDoesNotMatch", mismatch.reason)
        if form.get("Action") != "AssumeRole" or form.get("Version") != "2011-06-15" or "RoleSessionName" not in form:
            return self._error("InvalidAction", "not AssumeRole of 2011-06-15")
        if not form.get("RoleArn", "").startswith("arn:") or form.get("ExternalId", "") != self.external_id:
            return self._error("AccessDenied", f"not authorized to assume {form.get('RoleArn')}")
        return 200, {"content-type": "text/xml"}, self._keys(now).encode()

    def _keys(self, now: float) -> str:
        key_id = f"ASIAROLE{len(self.secret_for) + 1}"
        secret, token = f"secret/of+{key_id}", f"token//of+{key_id}=="
        self.secret_for[key_id], self.tokens[key_id] = secret, token
        until = datetime.fromtimestamp(now + self.lifetime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>'
            "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser><Credentials>"
            f"<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>\n{token}\n</SessionToken><Expiration>{until}</Expiration>"
            "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )

    def _error(self, code: str, message: str) -> Answer:
        text = (
            '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
            f"<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        )
        return 403, {"content-type": "text/xml"}, text.encode()
