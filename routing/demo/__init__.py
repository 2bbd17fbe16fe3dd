"""`make demo`: an empty installation filled with a made-up organization and a quarter of its requests.

Everything is made up, and always the same but for the time and for secrets: people, teams, keys, providers, limits, and 92
days of requests that end now. No request is sent; all of it goes in through the doors that the product has: configuration
through `import_config` and the audit log, records through the recorder's own door, budgets priced by the price list.
"""

from routing.demo.loading import Loaded, load_demo
from routing.demo.people import SIGN_INS, SignIn
from routing.demo.traffic import SIZES, Size

__all__ = ["SIGN_INS", "SIZES", "Loaded", "SignIn", "Size", "load_demo"]
