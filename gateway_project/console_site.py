"""The admin site itself."""

from django.contrib import admin


class ConsoleSite(admin.AdminSite):
    site_header = "Gateway console"
    site_title = "Gateway console"
    index_title = "Overview"
