"""What a role in a team may do: each may do what those before it may. No I/O, no framework."""

VIEWER, MEMBER, ADMIN, OWNER = "viewer", "member", "admin", "owner"
ROLES = (VIEWER, MEMBER, ADMIN, OWNER)


def at_least(role: str, least: str) -> bool:
    """Whether `role` may do what `least` may; nobody who is not in the team (an empty or unknown role) may do anything."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(least)
