"""The declarative configuration: one YAML file that describes everything an administrator can set up.

The steps of an import: document (YAML) → substitution (references) → schema (types) → references (names) → writing.
"""

from routing.declarative.exporting import Exported, export_config
from routing.declarative.importing import CreatedKey, Imported, import_config
from routing.declarative.problems import ConfigRefused, Problem

__all__ = ["ConfigRefused", "CreatedKey", "Exported", "Imported", "Problem", "export_config", "import_config"]
