"""The reader of a page as a party to services."""

from accounting.limits.asking import Party
from gateway_project.dashboard.frame import TeamPage


def party_of(page: TeamPage) -> Party:
    """Somebody with their role in the page's team, and in no other."""
    roles = {page.team.name: page.role} if page.standing == "member" else {}
    outside = page.standing
    return Party(page.user.email, admin=outside == "administrator", reads_all=outside == "auditor", roles=roles)
