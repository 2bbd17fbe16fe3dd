"""The tables of accounting: one file per group of nouns."""

from accounting.models.asking import BudgetAlert, BudgetRequest
from accounting.models.base import Revision, Versioned
from accounting.models.keys import ApiToken, VirtualKey
from accounting.models.limits import Budget, OrganizationSettings, RateLimit
from accounting.models.people import Membership, OneTimeLink, Project, Team, User
from accounting.models.records import AuditEvent, RequestRecord

__all__ = [
    "ApiToken",
    "AuditEvent",
    "Budget",
    "BudgetAlert",
    "BudgetRequest",
    "Membership",
    "OneTimeLink",
    "OrganizationSettings",
    "Project",
    "RateLimit",
    "RequestRecord",
    "Revision",
    "Team",
    "User",
    "Versioned",
    "VirtualKey",
]
