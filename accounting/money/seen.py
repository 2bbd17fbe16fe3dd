"""The names that usage was counted under: what a filter can be set to, whether there was any usage at all."""

from dataclasses import dataclass

from accounting.models import UsageDimension
from accounting.money.contributions import Statement
from accounting.money.dialect import in_sqlite
from accounting.money.rollups import DIMENSIONS

MOST = 300  # values of a name
NAMES = ("project", "key", "user", "provider", "model")


@dataclass(frozen=True, slots=True)
class Seen:
    """Values that are not empty, in order; `tags` are names of tags. At most `MOST` of each."""

    project: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def of(self, name: str) -> tuple[str, ...]:
        found: tuple[str, ...] = getattr(self, name)
        return found


def seen(team: str) -> Seen:
    """The names of a team; of all teams for "". One query."""
    parts = [_values(name, team) for name in NAMES] + [_tags(team)]
    parameters = tuple(parameter for part in parts for parameter in part.parameters)
    found: dict[str, list[str]] = {}
    for name, value in Statement(" UNION ALL ".join(part.sql for part in parts), parameters).run():
        found.setdefault(name, []).append(str(value))
    return Seen(**{name: tuple(sorted(values)) for name, values in found.items()})


def ever_used(team: str) -> bool:
    """Whether a request of the team was ever counted."""
    return UsageDimension.objects.filter(team=team).exists()


def _values(name: str, team: str) -> Statement:
    condition = " AND team = %s" if team else ""
    inner = f'SELECT DISTINCT "{name}" AS value FROM {DIMENSIONS} WHERE "{name}" <> \'\'{condition} ORDER BY 1 LIMIT %s'
    return Statement(f"SELECT '{name}', value FROM ({inner}) AS {name}s", (team, MOST) if team else (MOST,))


def _tags(team: str) -> Statement:
    condition = "WHERE team = %s" if team else ""
    each, name = ("json_each(tags)", "key") if in_sqlite() else ("jsonb_object_keys(tags) AS tag_name", "tag_name")
    column = f"json_each.{name}" if in_sqlite() else name
    inner = f"SELECT DISTINCT {column} AS value FROM {DIMENSIONS}, {each} {condition} ORDER BY 1 LIMIT %s"
    return Statement(f"SELECT 'tags', value FROM ({inner}) AS tag_names", (team, MOST) if team else (MOST,))
