"""The people of the demo and their teams: who they are, what they may do, and who can sign in."""

from dataclasses import dataclass

DOMAIN = "example.org"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the demo. `role` is the one in their first team."""

    first: str
    last: str
    role: str = "member"

    @property
    def email(self) -> str:
        return address(self.first)


@dataclass(frozen=True, slots=True)
class Crew:
    """The people of a team. `guests` are people of other teams, with the role that they have here."""

    team: str
    display_name: str
    timezone: str
    people: tuple[Person, ...]
    guests: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person with a password that everybody knows: it stands here."""

    who: str
    email: str
    password: str


def address(first_name: str) -> str:
    return f"{first_name.lower()}@{DOMAIN}"


def _people(roles: dict[str, str], *names: str) -> tuple[Person, ...]:
    pairs = (name.split() for name in names)
    return tuple(Person(first, last, roles.get(first, "member")) for first, last in pairs)


CREWS: tuple[Crew, ...] = (
    Crew(
        "platform",
        "Platform",
        "Europe/Berlin",
        _people(
            {"Ada": "owner", "Grace": "admin", "Klara": "viewer"},
            *("Ada Lovelace", "Grace Hopper", "Linus Pauling", "Konrad Zuse", "Radia Perlman", "Edsger Dijkstra"),
            *("Hedy Lamarr", "Claude Shannon", "Klara Dan"),
        ),
    ),
    Crew(
        "research",
        "Research",
        "America/New_York",
        _people(
            {"Marie": "owner", "Lise": "admin", "Rosalind": "viewer"},
            *("Marie Curie", "Emmy Noether", "Lise Meitner", "Srinivasa Ramanujan", "Barbara McClintock"),
            *("Richard Feynman", "Chien Wu", "Rosalind Franklin", "Sofia Kovalevskaya"),
        ),
        guests=(("Grace", "viewer"),),
    ),
    Crew(
        "support",
        "Customer support",
        "Asia/Kolkata",
        _people(
            {"Jean": "owner", "Katherine": "admin"},
            *("Jean Bartik", "Katherine Johnson", "Dorothy Vaughan", "Anandi Joshi", "Homi Bhabha", "Mary Jackson"),
            "Asima Chatterjee",
        ),
    ),
    Crew(
        "product",
        "Product",
        "America/Los_Angeles",
        _people(
            {"Margaret": "owner", "Alan": "admin", "Annie": "viewer"},
            *("Margaret Hamilton", "Alan Kay", "Susan Kare", "Annie Easley", "Douglas Engelbart", "Adele Goldberg"),
            "Stephen Hawking",
        ),
        guests=(("Grace", "admin"), ("Emmy", "member")),
    ),
    Crew(
        "finance",
        "Finance",
        "Europe/London",
        _people(
            {"Florence": "owner", "John": "viewer"},
            *("Florence Nightingale", "Caroline Herschel", "John Nash", "Luca Pacioli"),
        ),
    ),
    Crew(
        "labs",
        "Labs",
        "Asia/Tokyo",
        _people({"Hideki": "owner"}, "Hideki Yukawa", "Toshiko Yuasa", "Ukichiro Nakaya"),
        guests=(("Marie", "admin"),),
    ),
)  # fmt: skip
AUDITOR = Person("Vera", "Rubin")
ADMINISTRATOR = CREWS[0].people[0]
SIGN_INS: tuple[SignIn, ...] = (
    SignIn("administrator", ADMINISTRATOR.email, "demo-ada-runs-it-all"),
    SignIn("auditor", AUDITOR.email, "demo-vera-reads-it-all"),
    SignIn("owner of the team research", address("Marie"), "demo-marie-owns-research"),
    SignIn("member of research and product", address("Emmy"), "demo-emmy-is-a-member"),
)


def everybody() -> tuple[Person, ...]:
    return (*(person for crew in CREWS for person in crew.people), AUDITOR)
