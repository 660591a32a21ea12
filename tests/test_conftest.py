"""What this project's own tests find of the process that runs them."""

import os
import tempfile
from pathlib import Path

import pytest

from chaos.hosts import engine


@pytest.mark.parametrize("number", [1, 2])
def test_temporary_files_are_where_they_are_looked_for(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In each test, not in the first alone."""
    assert Path(os.environ["TMPDIR"]).is_relative_to(tmp_path_factory.getbasetemp()), number
    assert tempfile.gettempdir() == os.environ["TMPDIR"]


def test_a_unit_test_finds_no_engine() -> None:
    assert engine.find() is None
