"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.accounts import profile
from accounting.dashboard import (
    activity,
    invitations,
    key,
    keys,
    members,
    one_request,
    overview,
    projects,
    requests,
    sessions,
    setup,
    team,
    usage,
)

app_name = "dashboard"
urlpatterns = [
    path("teams/<str:team>/", overview.overview, name="overview"),
    path("teams/<str:team>/members/", members.members, name="members"),
    path("teams/<str:team>/members/invite/", invitations.invite, name="invite"),
    path("teams/<str:team>/members/<int:pk>/", members.member, name="member"),
    path("teams/<str:team>/members/<int:pk>/remove/", members.member_removal, name="member_removal"),
    path("teams/<str:team>/members/<int:pk>/hand-over/", members.member_hand_over, name="member_hand_over"),
    path("teams/<str:team>/invitations/<int:pk>/withdraw/", invitations.withdrawal, name="invitation_withdrawal"),
    path("teams/<str:team>/settings/", team.team_settings, name="team"),
    path("teams/<str:team>/projects/", projects.projects, name="projects"),
    path("teams/<str:team>/new-project/", projects.new_project, name="new_project"),
    path("teams/<str:team>/projects/<str:name>/", projects.project, name="project"),
    path("teams/<str:team>/activity/", activity.activity, name="activity"),
    path("profile/", profile.profile, name="profile"),
    path("profile/password/", profile.own_password, name="own_password"),
    path("profile/sign-ins/", profile.sign_in_ended, name="sign_in_ended"),
    path("teams/<str:team>/keys/", keys.keys, name="keys"),
    path("teams/<str:team>/keys/new/", keys.new_key, name="key_new"),
    path("teams/<str:team>/keys/<int:pk>/", key.key, name="key"),
    path("teams/<str:team>/keys/<int:pk>/change/", key.change_key, name="key_change"),
    path("teams/<str:team>/keys/<int:pk>/rotate/", key.rotate_key, name="key_rotate"),
    path("teams/<str:team>/keys/<int:pk>/secret/", key.key_secret, name="key_secret"),
    path("teams/<str:team>/keys/<int:pk>/revoke/", key.revoke_key, name="key_revoke"),
    path("teams/<str:team>/keys/<int:pk>/switch/", key.switch_key, name="key_switch"),
    path("teams/<str:team>/keys/<int:pk>/end-old/", key.end_old, name="key_end_old"),
    path("teams/<str:team>/setup/", setup.setup, name="setup"),
    path("teams/<str:team>/setup/check/", setup.check_settings, name="setup_check"),
    path("teams/<str:team>/usage/", usage.usage, name="usage"),
    path("teams/<str:team>/usage.csv", usage.usage_csv, name="usage_csv"),
    path("usage/", usage.all_usage, name="all_usage"),
    path("usage.csv", usage.all_usage_csv, name="all_usage_csv"),
    path("teams/<str:team>/requests/", requests.requests, name="requests"),
    path("teams/<str:team>/requests/<str:request_id>/", one_request.one_request, name="request"),
    path("teams/<str:team>/sessions/", sessions.session_list, name="sessions"),
    path("teams/<str:team>/sessions/<path:session>/", sessions.one_session, name="session"),
]
