"""The campaign is run where it is named, and nowhere else: it takes half an hour, and replays no incident."""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which edits, and for how long."""
    group = parser.getgroup("kube-ordeal campaign")
    group.addoption("--ordeal-campaign-sample", type=int, default=0, metavar="N", help="so many edits; 0 is all")
    group.addoption("--ordeal-campaign-seed", type=int, default=1, metavar="N", help="which edits a sample has")
    group.addoption("--ordeal-campaign-minutes", type=float, default=60, metavar="M", help="no batch begins later")


def is_named(config: pytest.Config) -> bool:
    """Whether an argument names this folder, or something in it."""
    named = [Path(config.invocation_params.dir, each.partition("::")[0]).resolve() for each in config.args]
    return any(each.is_relative_to(HERE) for each in named)


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Of this folder only."""
    return None if is_named(config) else True
