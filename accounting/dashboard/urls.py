"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.dashboard import alerts, asking, budgets, limit_editing, overview

app_name = "dashboard"
urlpatterns = [
    path("teams/<str:team>/", overview.overview, name="overview"),
    path("limits/ask", asking.ask_for_more, name="ask_for_more"),
    path("teams/<str:team>/budgets/", budgets.budgets, name="budgets"),
    path("teams/<str:team>/budgets/new/", limit_editing.budget_new, name="budget_new"),
    path("teams/<str:team>/budgets/requests/", asking.budget_requests, name="budget_requests"),
    path("teams/<str:team>/budgets/requests/<int:pk>/", asking.budget_request, name="budget_request"),
    path(
        "teams/<str:team>/budgets/requests/<int:pk>/withdraw/",
        asking.budget_request_withdraw,
        name="budget_request_withdraw",
    ),
    path("teams/<str:team>/budgets/<int:pk>/", budgets.budget, name="budget"),
    path("teams/<str:team>/budgets/<int:pk>/ask/", asking.budget_ask, name="budget_ask"),
    path("teams/<str:team>/budgets/<int:pk>/change/", limit_editing.budget_change, name="budget_change"),
    path("teams/<str:team>/budgets/<int:pk>/delete/", limit_editing.budget_delete, name="budget_delete"),
    path("teams/<str:team>/limits/", budgets.rate_limits, name="rate_limits"),
    path("teams/<str:team>/limits/new/", limit_editing.rate_limit_new, name="rate_limit_new"),
    path("teams/<str:team>/limits/<int:pk>/change/", limit_editing.rate_limit_change, name="rate_limit_change"),
    path("teams/<str:team>/limits/<int:pk>/delete/", limit_editing.rate_limit_delete, name="rate_limit_delete"),
    path("teams/<str:team>/alerts/", alerts.alerts, name="alerts"),
    path("teams/<str:team>/alerts/rules/", alerts.alert_rules, name="alert_rules"),
    path("teams/<str:team>/alerts/rules/new/", alerts.alert_rule_new, name="alert_rule_new"),
    path("teams/<str:team>/alerts/rules/<int:pk>/change/", alerts.alert_rule_change, name="alert_rule_change"),
    path("teams/<str:team>/alerts/rules/<int:pk>/delete/", alerts.alert_rule_delete, name="alert_rule_delete"),
    path("teams/<str:team>/alerts/destinations/", alerts.alert_destinations, name="alert_destinations"),
    path("teams/<str:team>/alerts/destinations/new/", alerts.alert_destination_new, name="alert_destination_new"),
    path("teams/<str:team>/alerts/destinations/<int:pk>/", alerts.alert_destination, name="alert_destination"),
    *[
        path(f"teams/<str:team>/alerts/destinations/<int:pk>/{name}/", view, name=f"alert_destination_{name}")
        for name, view in (
            ("change", alerts.alert_destination_change),
            ("delete", alerts.alert_destination_delete),
            ("test", alerts.alert_destination_test),
            ("rotate", alerts.alert_destination_rotate),
        )
    ],
]
