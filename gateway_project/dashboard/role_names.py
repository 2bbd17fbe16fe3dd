"""Roles in words, in the reader's language."""

from django.utils.translation import gettext_lazy as _

from accounting.access.roles import ADMIN, MEMBER, OWNER, VIEWER

ROLE_NAMES = {OWNER: _("owner"), ADMIN: _("admin"), MEMBER: _("member"), VIEWER: _("viewer")}
ROLE_MEANINGS = {
    OWNER: _("Owner: gives roles, hands the team over, changes the team itself"),
    ADMIN: _("Admin: manages members, projects, all keys and alerts; decides requests for more"),
    MEMBER: _("Member: makes keys of their own, asks for more of a budget, tries models"),
    VIEWER: _("Viewer: reads everything of the team, changes nothing"),
}
