"""Addresses under /api/v1/."""

from django.urls import path

from accounting.api import limit_details, limits, usage, views
from accounting.api import schema as schema
from accounting.api.ledger import LedgerList

app_name = "api"
urlpatterns = [
    path("requests/", views.RecordList.as_view(), name="records"),
    path("requests/<str:request_id>/", views.RecordDetail.as_view(), name="record"),
    path("prices/", views.PriceList.as_view(), name="prices"),
    path("usage/", usage.Usage.as_view(), name="usage"),
    path("usage/focus/", usage.Focus.as_view(), name="focus"),
    path("ledger/", LedgerList.as_view(), name="ledger"),
    path("budgets/", limits.BudgetList.as_view(), name="budgets"),
    path("budgets/<int:pk>/", limit_details.BudgetDetail.as_view(), name="budget"),
    path("rate-limits/", limit_details.RateLimitList.as_view(), name="rate_limits"),
    path("rate-limits/<int:pk>/", limit_details.RateLimitDetail.as_view(), name="rate_limit"),
    path("budget-requests/", limits.BudgetRequestList.as_view(), name="budget_requests"),
    path("budget-requests/<int:pk>/decide/", limits.BudgetRequestDecision.as_view(), name="budget_request_decision"),
    path(
        "budget-requests/<int:pk>/withdraw/", limits.BudgetRequestWithdrawal.as_view(), name="budget_request_withdrawal"
    ),
    path("schema/", views.Schema.as_view(), name="schema"),
    path("docs/", views.Docs.as_view(), name="docs"),
]
