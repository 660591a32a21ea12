"""The campaign is collected where it is named, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest

from chaos.run.suites import suites

ROOT = Path(__file__).parents[2]
NAME = "test_campaign.py"


def collected(*arguments: str) -> str:
    argv = (sys.executable, "-m", "pytest", "--collect-only", "-q", *arguments)
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in {0, 5}, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("named", ["suites/campaign", "./suites/campaign/test_campaign.py"])
def test_it_is_collected_where_it_is_named(named: str) -> None:
    assert NAME in collected(named)


def test_it_is_not_collected_with_all_suites() -> None:
    said = collected("suites/")
    assert NAME not in said
    assert "test_stale_watch_cache.py" in said


def test_it_is_no_incident() -> None:
    assert not [each.test for each in suites() if NAME in each.test]
