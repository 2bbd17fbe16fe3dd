"""The tables of accounting: one file per group of nouns."""

from accounting.models.base import Revision, Versioned
from accounting.models.keys import ApiToken, VirtualKey
from accounting.models.people import Membership, OneTimeLink, Project, Team, User
from accounting.models.prices import Price, UnknownModelPrice, UnpricedModel
from accounting.models.records import AuditEvent, RequestRecord

__all__ = [
    "ApiToken",
    "AuditEvent",
    "Membership",
    "OneTimeLink",
    "Price",
    "Project",
    "RequestRecord",
    "Revision",
    "Team",
    "UnknownModelPrice",
    "UnpricedModel",
    "User",
    "Versioned",
    "VirtualKey",
]
