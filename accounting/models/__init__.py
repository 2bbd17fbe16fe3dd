"""The tables of accounting: one file per group of nouns."""

from accounting.models.access import AttemptCount, Invitation, SignIn
from accounting.models.alerting import AlertDelivery, AlertDestination, AlertEvent, AlertRule, AlertTurn
from accounting.models.asking import BudgetAlert, BudgetRequest
from accounting.models.base import Revision, Versioned
from accounting.models.keys import ApiToken, KeyUse, VirtualKey
from accounting.models.ledger import LedgerEntry, Rerating
from accounting.models.limits import Budget, OrganizationSettings, RateLimit
from accounting.models.people import Membership, OneTimeLink, Project, Team, User
from accounting.models.prices import Price, UnknownModelPrice, UnpricedModel
from accounting.models.records import AuditEvent, RequestRecord
from accounting.models.rollups import (
    DailyTotals,
    DailyUsage,
    HourlyOutcomes,
    HourlyTotals,
    HourlyUsage,
    MonthlyUsage,
    UsageDimension,
)

__all__ = [
    "AlertDelivery",
    "AlertDestination",
    "AlertEvent",
    "AlertRule",
    "AlertTurn",
    "ApiToken",
    "AttemptCount",
    "AuditEvent",
    "Budget",
    "BudgetAlert",
    "BudgetRequest",
    "DailyTotals",
    "DailyUsage",
    "HourlyOutcomes",
    "HourlyTotals",
    "HourlyUsage",
    "Invitation",
    "KeyUse",
    "LedgerEntry",
    "Membership",
    "MonthlyUsage",
    "OneTimeLink",
    "OrganizationSettings",
    "Price",
    "Project",
    "RateLimit",
    "RequestRecord",
    "Rerating",
    "Revision",
    "SignIn",
    "Team",
    "UnknownModelPrice",
    "UnpricedModel",
    "UsageDimension",
    "User",
    "Versioned",
    "VirtualKey",
]
