"""Addresses of the dashboard. Every page of a team is below /teams/<team>/."""

from django.urls import path

from accounting.dashboard import key, keys, overview, setup

app_name = "dashboard"
urlpatterns = [
    path("teams/<str:team>/", overview.overview, name="overview"),
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
]
