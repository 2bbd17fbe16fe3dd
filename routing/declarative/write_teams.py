"""Applies the section teams, with members, projects and keys."""

from functools import partial

from accounting import services
from accounting.models import Membership, Project, Team, User, VirtualKey
from gateway_project.crypto import Secret
from routing.declarative.problems import Path
from routing.declarative.schema import Item
from routing.declarative.write_limits import write_limits
from routing.declarative.writing import Import, assign

_KEY_NAMES: dict[str, Path] = {"expires_at": ("expires",)}


def write_teams(run: Import, items: list[Item]) -> None:
    stored = {team.name: team for team in Team.objects.all()}
    people = _People()
    written: list[tuple[Item, Team]] = []
    for item in items:
        name = item.values["name"]
        team = stored.get(name) or Team(name=name)
        assign(team, item, "display_name", "timezone", "allowed_models", "capture")
        run.switch(team, item, f"the team {name}")
        run.attempt(item, partial(run.change.save, team))
        if not team._state.adding:
            _write_members(run, item.lists.get("members", []), team, people)
            write_limits(run, item, team)
            written.append((item, team))
    for item, team in written:  # only now: an owner may be a member of a team further down
        _write_projects(run, item.lists.get("projects", []), team, people)
    named = {item.values["name"] for item in items}
    run.disable(team for name, team in sorted(stored.items()) if name not in named)


class _People:
    """Users by address, looked up once."""

    def __init__(self) -> None:
        self._known = {user.email: user for user in User.objects.all()}

    def get(self, email: str) -> User | None:
        return self._known.get(email)

    def add(self, user: User) -> User:
        return self._known.setdefault(user.email, user)


def _write_members(run: Import, items: list[Item], team: Team, people: _People) -> None:
    stored = {member.user.email: member for member in Membership.objects.filter(team=team).select_related("user")}
    for item in items:
        email = item.values["email"]
        user = people.get(email) or run.attempt(item, partial(services.person, run.change, email))
        if user is None:
            continue
        member = stored.get(email) or Membership(team=team, user=people.add(user))
        assign(member, item, "role")
        run.attempt(item, partial(run.change.save, member))
    if not run.prune:
        return
    named = {item.values["email"] for item in items}
    for email, member in sorted(stored.items()):
        if email not in named:
            run.change.delete(member)
            run.notes.append(f"{email} is no longer a member of the team {team.name}; the account stays")


def _write_projects(run: Import, items: list[Item], team: Team, people: _People) -> None:
    stored = {project.name: project for project in Project.objects.filter(team=team)}
    for item in items:
        name = item.values["name"]
        project = stored.get(name) or Project(team=team, name=name)
        assign(project, item, "display_name")
        run.switch(project, item, f"the project {team.name}/{name}")
        run.attempt(item, partial(run.change.save, project))
        if not project._state.adding:
            write_limits(run, item, project)
            _write_keys(run, item.lists.get("keys", []), project, people)
    named = {item.values["name"] for item in items}
    run.disable(project for name, project in sorted(stored.items()) if name not in named)


def _write_keys(run: Import, items: list[Item], project: Project, people: _People) -> None:
    stored = {key.name: key for key in VirtualKey.objects.filter(project=project).select_related("owner")}
    for item in items:
        _settle_owner(run, item, f"{project.team.name}/{project.name}/{item.values['name']}")
        key = stored.get(item.values["name"])
        if key is None:
            key = run.attempt(item, partial(_create_key, run, item, project, people), _KEY_NAMES)
        else:
            key.project = project
            run.attempt(item, partial(_change_key, run, item, key, people), _KEY_NAMES)
        if key is not None:
            write_limits(run, item, key)
    named = {item.values["name"] for item in items}
    run.disable(key for name, key in sorted(stored.items()) if name not in named and key.revoked_at is None)


def _settle_owner(run: Import, item: Item, name: str) -> None:
    """A key with an owner is a personal one unless the file says otherwise; then the owner is not used."""
    if item.values.get("owner") is None:
        return
    if item.values.setdefault("kind", VirtualKey.Kind.PERSONAL.value) == VirtualKey.Kind.SERVICE:
        item.values["owner"] = None
        run.notes.append(f"the key {name} is a service key; its owner is not used")


def _create_key(run: Import, item: Item, project: Project, people: _People) -> VirtualKey:
    given = item.values
    key, secret = services.create_key(
        run.change,
        project,
        given["name"],
        kind=given.get("kind", VirtualKey.Kind.SERVICE),
        owner=people.get(given.get("owner") or ""),
        expires_at=given.get("expires"),
        allowed_models=given.get("allowed_models"),
        allowed_ips=given.get("allowed_ips", ()),
        tags=given.get("tags"),
        secret=given.get("secret"),
        enabled=given.get("enabled", True),
    )
    if "secret" not in given:
        run.created.append((key, secret))
    return key


def _change_key(run: Import, item: Item, key: VirtualKey, people: _People) -> Secret | None:
    secret = item.values.get("secret")
    replaced = secret is not None and not services.has_secret(key, secret)
    if key.revoked_at is not None and not replaced:
        name = f"{key.project.team.name}/{key.project.name}/{key.name}"
        run.notes.append(f"the key {name} is revoked and stays so; give it another secret, or another name")
        return None
    assign(key, item, "kind", "allowed_models", "allowed_ips", "tags", expires="expires_at")
    if "owner" in item.values:
        key.owner = people.get(item.values["owner"] or "")
    run.switch(key, item, f"the key {key.project.team.name}/{key.project.name}/{key.name}")
    if not replaced:
        run.change.save(key)
        return None
    key.revoked_at = None
    return services.rotate_key(run.change, key, secret=secret)
