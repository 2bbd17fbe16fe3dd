"""Which browser a `User-Agent` header speaks of, for lists that people read. A guess, never a decision. No I/O."""

# The first that is found counts: most browsers also name those that they descend from.
_BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Vivaldi/", "Vivaldi"),
    ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("HeadlessChrome/", "Chrome"),
    ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("curl/", "curl"), ("python-", "Python"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip


def browser_of(user_agent: str) -> str:
    """`Firefox, Linux`; what could not be told is left out, and nothing is ""."""
    found = []
    for table in (_BROWSERS, _SYSTEMS):
        name = next((name for mark, name in table if mark in user_agent), "")
        if name:
            found.append(name)
    return ", ".join(found)
