"""Fixtures that several rooms share."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.harness import Template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> "Template":
    """A migrated data folder to copy, made once per test process."""
    from tests.harness import Template

    folder: Path = tmp_path_factory.mktemp("template") / "data"
    return Template(folder)
