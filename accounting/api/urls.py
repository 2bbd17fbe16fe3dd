"""Addresses under /api/v1/."""

from django.urls import path

from accounting.api import (
    alerts,
    events,
    keys,
    limit_details,
    limits,
    outcomes,
    people,
    sessions,
    usage,
    views,
)
from accounting.api import schema as schema
from accounting.api.ledger import LedgerList

app_name = "api"
urlpatterns = [
    path("requests/", views.RecordList.as_view(), name="records"),
    path("requests/<str:request_id>/", views.RecordDetail.as_view(), name="record"),
    path("sessions/", sessions.SessionList.as_view(), name="sessions"),
    path("sessions/<path:session_id>/", sessions.SessionDetail.as_view(), name="session"),
    path("prices/", views.PriceList.as_view(), name="prices"),
    path("usage/", usage.Usage.as_view(), name="usage"),
    path("usage/focus/", usage.Focus.as_view(), name="focus"),
    path("usage/latency/", outcomes.Latency.as_view(), name="latency"),
    path("usage/outcomes/", outcomes.Outcomes.as_view(), name="outcomes"),
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
    path("members/", people.MemberList.as_view(), name="members"),
    path("members/<int:pk>/", people.MemberDetail.as_view(), name="member"),
    path("members/<int:pk>/hand-over/", people.MemberHandOver.as_view(), name="member_hand_over"),
    path("invitations/", people.InvitationList.as_view(), name="invitations"),
    path("invitations/<int:pk>/withdraw/", people.InvitationWithdrawal.as_view(), name="invitation_withdrawal"),
    path("projects/", people.ProjectList.as_view(), name="projects"),
    path("projects/<int:pk>/", people.ProjectDetail.as_view(), name="project"),
    path("audit-events/", events.AuditEventList.as_view(), name="audit_events"),
    path("keys/", keys.KeyList.as_view(), name="keys"),
    path("keys/<int:pk>/", keys.KeyDetail.as_view(), name="key"),
    path("keys/<int:pk>/rotate/", keys.KeyRotation.as_view(), name="key_rotation"),
    path("keys/<int:pk>/revoke/", keys.KeyRevocation.as_view(), name="key_revocation"),
    path("keys/<int:pk>/disable/", keys.KeySwitch.as_view(), name="key_switch"),
    path("alert-rules/", alerts.AlertRuleList.as_view(), name="alert_rules"),
    path("alert-rules/<int:pk>/", alerts.AlertRuleDetail.as_view(), name="alert_rule"),
    path("alert-destinations/", alerts.AlertDestinationList.as_view(), name="alert_destinations"),
    path("alert-destinations/<int:pk>/", alerts.AlertDestinationDetail.as_view(), name="alert_destination"),
    path("alert-destinations/<int:pk>/test/", alerts.AlertDestinationTest.as_view(), name="alert_destination_test"),
    path(
        "alert-destinations/<int:pk>/rotate/",
        alerts.AlertDestinationRotation.as_view(),
        name="alert_destination_rotation",
    ),
    path("alert-deliveries/", alerts.AlertDeliveryList.as_view(), name="alert_deliveries"),
    path("schema/", views.Schema.as_view(), name="schema"),
    path("docs/", views.Docs.as_view(), name="docs"),
]
