"""The tables of routing: providers with their credentials, routes with their targets, the names clients ask for, the
rules of compatibility, orders to single targets; versions of all that.

Every rule about what may be stored is here, in validators, `clean` and constraints, so that the admin, the command line
and the API refuse the same things with the same sentences. Writes go through `routing.services` and
`routing.compatibility`.
"""

from routing.models.compatibility import CompatibilityCount, CompatibilityRule, CompatibilitySuggestion
from routing.models.health import TargetControl, TargetStatus
from routing.models.ownership import OWNERSHIP, KeptUpstream
from routing.models.providers import Credential, CredentialRefresh, Provider
from routing.models.routes import ModelAlias, Route, RouteTarget, every_retryable
from routing.models.shadows import Shadow, ShadowCount
from routing.models.versions import ConfigPicture, ConfigProposal, ConfigVersion, ProcessReport, SealedSecret

__all__ = [
    "OWNERSHIP",
    "CompatibilityCount",
    "CompatibilityRule",
    "CompatibilitySuggestion",
    "ConfigPicture",
    "ConfigProposal",
    "ConfigVersion",
    "Credential",
    "CredentialRefresh",
    "KeptUpstream",
    "ModelAlias",
    "ProcessReport",
    "Provider",
    "Route",
    "RouteTarget",
    "SealedSecret",
    "Shadow",
    "ShadowCount",
    "TargetControl",
    "TargetStatus",
    "every_retryable",
]
