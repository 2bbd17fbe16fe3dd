"""The commands for automation: what they print where, and how they refuse."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command, load_command_class
from django.db import IntegrityError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from accounting.access.secrets import TOKEN_MARK, is_well_formed
from accounting.audit.changes import StaleVersion
from accounting.management.base import GatewayCommand
from accounting.models import ApiToken, AuditEvent, Team, User, VirtualKey
from accounting.services import has_secret
from routing.models import Provider
from tests.routing.declared import ENVIRON, apply, whole

pytestmark = pytest.mark.django_db

Run = Callable[..., tuple[str, str]]

COMMANDS = [
    ("import_config", "-"),
    ("export_config",),
    ("config_versions",),
    ("rollback_config", "1"),
    ("create_key", "--team", "t", "--project", "p", "--name", "n"),
    ("revoke_key", "gw_12345678"),
    ("create_admin", "--email", "a@example.org", "--password-stdin"),
    ("create_api_token", "--name", "n", "--admin"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls a command; gives what it wrote to standard output and standard error."""
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str, stdin: str = "") -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        call_command(*arguments, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(whole()))
    return path


def last_event() -> tuple[str, str, str]:
    event = AuditEvent.objects.latest("id")
    return event.actor, event.actor_kind, event.action


@pytest.mark.parametrize("arguments", COMMANDS)
def test_every_command_stops_when_a_migration_is_missing(run: Run, arguments: tuple[str, ...]) -> None:
    ((app, name),) = MigrationLoader(connection).graph.leaf_nodes("routing")
    MigrationRecorder(connection).record_unapplied(app, name)
    with pytest.raises(CommandError) as error:
        run(*arguments)
    assert str(error.value) == "The database is not migrated; run `python manage.py migrate` first."


def test_a_refusal_on_the_command_line_is_one_line_and_status_one(capsys: pytest.CaptureFixture[str]) -> None:
    command = load_command_class("accounting", "create_key")
    with pytest.raises(SystemExit) as error:
        command.run_from_argv(["manage.py", "create_key", "--team", "t", "--project", "p", "--name", "n"])
    assert error.value.code == 1
    assert capsys.readouterr().err == "CommandError: There is no project p in a team t.\n"


def test_import_prints_new_secrets_alone_on_standard_output(run: Run, file: Path) -> None:
    out, err = run("import_config", str(file))
    ((name, secret),) = [line.split(" ") for line in out.splitlines()]
    assert name == "platform/default/ada"
    assert has_secret(VirtualKey.objects.get(name="ada"), secret)
    assert secret not in err
    assert "created provider anthropic-main" in err
    assert run("import_config", str(file)) == ("", "nothing to change\n")


def test_import_reads_standard_input(run: Run, file: Path) -> None:
    run("import_config", "-", stdin=file.read_text())
    assert Provider.objects.count() == 2


def test_a_dry_run_prints_the_difference_on_standard_output(run: Run, file: Path) -> None:
    out, err = run("import_config", str(file), "--dry-run")
    assert "created provider anthropic-main" in out.splitlines()
    assert "gw_" not in out + err
    assert not Provider.objects.exists()
    run("import_config", str(file))
    assert run("import_config", str(file), "--dry-run") == ("nothing to change\n", "")


def test_a_refused_file_is_told_with_every_problem(run: Run, tmp_path: Path) -> None:
    content: dict[str, Any] = whole()
    content["aliases"][0]["route"] = "none"
    content["teams"][0]["capture"] = "all"
    with pytest.raises(CommandError) as error:
        run("import_config", "-", stdin=yaml.safe_dump(content))
    head, *problems = str(error.value).splitlines()
    assert head == "refused, nothing was changed (2 problems):"
    assert [problem.split(":")[0] for problem in problems] == ["aliases[0].route", "teams[0].capture"]
    assert not Provider.objects.exists()


@pytest.mark.parametrize("name", ["/nowhere/config.yaml", "/"])
def test_a_file_that_cannot_be_read_is_told(run: Run, name: str) -> None:
    with pytest.raises(CommandError, match=f"cannot read {name}: "):
        run("import_config", name)


def test_prune_reaches_the_import(run: Run, file: Path) -> None:
    run("import_config", str(file))
    run("import_config", "-", "--prune", stdin="version: 1\nproviders: []")
    assert not Provider.objects.filter(enabled=True).exists()


def test_export_writes_to_standard_output_or_a_file(run: Run, tmp_path: Path) -> None:
    apply(whole())
    out, err = run("export_config")
    assert "canary" not in out + err
    assert "needs ANTHROPIC_MAIN_API_KEY: api_key of the provider anthropic-main" in err
    path = tmp_path / "out.yaml"
    assert run("export_config", "--output", str(path))[0] == ""
    assert path.read_text() == out
    with pytest.raises(CommandError, match="cannot write /nowhere/x: No such file or directory"):
        run("export_config", "--output", "/nowhere/x")


def test_create_key_prints_the_secret_alone(run: Run) -> None:
    apply(whole())
    place = ("--team", "platform", "--project", "default")
    out, err = run("create_key", *place, "--name", "new", "--expires", "2099-01-01")
    assert (is_well_formed(out.strip()), err) == (True, "")
    key = VirtualKey.objects.get(name="new")
    assert has_secret(key, out.strip())
    assert (key.kind, str(key.expires_at)) == ("service", "2099-01-01 00:00:00+00:00")
    assert last_event() == ("create_key", "command", "created")
    run("create_key", *place, "--name", "hers", "--owner", "Ada@example.org")
    assert VirtualKey.objects.get(name="hers").kind == "personal"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--team", "nope", "--name", "n"), "There is no project default in a team nope."),
        (("--team", "platform", "--name", "n", "--owner", "x@example.org"), "There is no user x@example.org."),
        (("--team", "platform", "--name", "n", "--expires", "soon"), "--expires: 'soon' is not a date."),
        (
            ("--team", "platform", "--name", "n", "--expires", "2020-01-01"),
            "--expires: this time is over; the key could never be used.",
        ),
        (("--team", "platform", "--name", "ci"), "already exists"),
        (("--team", "platform", "--name", "Not OK"), "name: Use lower-case letters, digits and dashes"),
    ],
)
def test_create_key_refuses_in_one_line(run: Run, arguments: tuple[str, ...], said: str) -> None:
    apply(whole())
    count = VirtualKey.objects.count()
    with pytest.raises(CommandError) as error:
        run("create_key", "--project", "default", *arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert VirtualKey.objects.count() == count


def test_revoke_key_takes_a_prefix_or_a_whole_key_and_refuses_an_unknown_one(run: Run) -> None:
    apply(whole())
    out, err = run("revoke_key", VirtualKey.objects.get(name="ada").prefix)
    assert out == ""
    assert err.startswith("revoked platform/default/ada (gw_")
    run("revoke_key", ENVIRON["CI_KEY"])
    assert not VirtualKey.objects.filter(revoked_at=None).exists()
    assert last_event() == ("revoke_key", "command", "revoked")
    with pytest.raises(CommandError, match="No key begins with 'gw_nothing'"):
        run("revoke_key", "gw_nothing")


def test_revoke_key_refuses_a_prefix_that_two_keys_share(run: Run) -> None:
    keys = [{"name": name, "secret": "same-prefix-of-a-key-" + name} for name in "ab"]
    apply({"teams": [{"name": "t", "projects": [{"name": "p", "keys": keys}]}]})
    with pytest.raises(CommandError, match="2 keys have the prefix same-pre"):
        run("revoke_key", "same-pre")
    assert VirtualKey.objects.filter(revoked_at=None).count() == 2


def test_create_admin_takes_the_password_from_standard_input(run: Run) -> None:
    out, err = run("create_admin", "--email", "Root@Example.org", "--password-stdin", stdin="a long passphrase\n")
    user = User.objects.get()
    assert (user.email, user.is_staff, user.is_superuser) == ("root@example.org", True, True)
    assert user.check_password("a long passphrase")
    assert "passphrase" not in out + err


@pytest.mark.parametrize(
    ("email", "password", "said"),
    [
        ("root@example.org", "\n", "The password is empty."),
        ("root@example.org", "short\n", "password: "),
        ("nobody", "a long passphrase\n", "email: Enter a valid email address."),
    ],
)
def test_create_admin_refuses_in_one_line(run: Run, email: str, password: str, said: str) -> None:
    with pytest.raises(CommandError) as error:
        run("create_admin", "--email", email, "--password-stdin", stdin=password)
    assert str(error.value).startswith(said)
    assert not User.objects.exists()


def test_create_admin_without_a_terminal_asks_for_the_other_way(run: Run) -> None:
    with pytest.raises(CommandError, match="--password-stdin"):
        run("create_admin", "--email", "root@example.org")


def test_create_admin_asks_twice_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["a long passphrase", "another", "a long passphrase", "a long passphrase"])
    monkeypatch.setattr("accounting.management.commands.create_admin.getpass", lambda prompt: next(answers))
    monkeypatch.setattr("accounting.management.commands.create_admin._at_a_terminal", lambda: True)
    with pytest.raises(CommandError, match="differ"):
        run("create_admin", "--email", "root@example.org")
    run("create_admin", "--email", "root@example.org")
    assert User.objects.get().check_password("a long passphrase")


@pytest.mark.parametrize(
    ("scope", "role", "team_role"),
    [
        (("--admin",), "admin", ""),
        (("--auditor",), "auditor", ""),
        (("--team", "platform", "--role", "viewer"), "team", "viewer"),
    ],
)
def test_create_api_token_prints_the_token_alone(run: Run, scope: tuple[str, ...], role: str, team_role: str) -> None:
    apply(whole())
    out, err = run("create_api_token", "--name", "grafana", *scope)
    assert (is_well_formed(out.strip(), TOKEN_MARK), err) == (True, "")
    token = ApiToken.objects.get()
    assert (token.role, token.team_role) == (role, team_role)
    assert token.team == (Team.objects.get() if role == "team" else None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "one of the arguments --admin --auditor --team is required"),
        (("--admin", "--auditor"), "not allowed with argument"),
        (("--team", "platform"), "--team and --role go together."),
        (("--admin", "--role", "viewer"), "--team and --role go together."),
        (("--team", "nope", "--role", "viewer"), "There is no team nope."),
        (("--team", "platform", "--role", "king"), "invalid choice: 'king'"),
    ],
)
def test_create_api_token_refuses_what_fits_no_scope(run: Run, arguments: tuple[str, ...], said: str) -> None:
    apply(whole())
    with pytest.raises(CommandError) as error:
        run("create_api_token", "--name", "grafana", *arguments)
    assert said in str(error.value)
    assert not ApiToken.objects.exists()


class Failing(GatewayCommand):
    """A command that another writer gets in the way of."""

    def handle(self, *args: Any, **options: Any) -> None:
        raise self.error

    error: Exception


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StaleVersion(Team(name="t"), ("timezone",), deleted=False), "The team t was changed by someone else"),
        (
            IntegrityError("duplicate key value\nDETAIL:  Failing row contains (canary)."),
            "The database refused, and nothing was changed: duplicate key value. Run the command again.",
        ),
    ],
)
def test_what_another_writer_gets_in_the_way_of_ends_in_one_line(error: Exception, said: str) -> None:
    command = Failing()
    command.error = error
    with pytest.raises(CommandError) as refused:
        call_command(command)
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
