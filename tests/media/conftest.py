"""Hard files, made once per test run."""

from __future__ import annotations

import pytest

from tests.media.hard_files import HardFiles


@pytest.fixture(scope="session")
def hard(tmp_path_factory: pytest.TempPathFactory) -> HardFiles:
    """Hard files by name."""
    return HardFiles(tmp_path_factory.mktemp("hard"))
