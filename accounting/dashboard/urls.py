"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.dashboard import asking, budgets, limit_editing, overview

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
]
