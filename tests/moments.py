"""Moments at which something is killed in a test: drawn from one seed, so that those of a red run can be had again."""

import random
from typing import Any

import pytest

OPTION = "--kill-seed"
SEEDS = 2**31


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option of these tests."""
    parser.addoption(
        OPTION,
        type=int,
        default=random.SystemRandom().randrange(SEEDS),
        metavar="N",
        help="kill what is killed in these tests at the moments of an earlier run",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Side by side, the other processes have the seed of the one that has the terminal."""
    node.workerinput[OPTION] = seed_of(node.config)


def seed_of(config: pytest.Config) -> int:
    """The seed of this run, whichever of its processes asks."""
    seed: int = getattr(config, "workerinput", {}).get(OPTION, config.getoption(OPTION))
    return seed


def pytest_report_header(config: pytest.Config) -> str:
    """How to have the kills of this run again."""
    seed = seed_of(config)
    return f"kill seed: {seed} ({OPTION} {seed} has the moments of its kills again)"


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> "Moments":
    """The moments at which this test kills something."""
    return Moments(seed_of(request.config), request.node.nodeid)


class Moments:
    """The moments of one test, in turn. They depend on the seed and the test alone, not on what else is run, or when.

    Each is printed as it is drawn, with how to have it again: pytest shows that of a test that fails.
    """

    def __init__(self, seed: int, test: str) -> None:
        """`test`: its node id, parameters and all."""
        self._seed, self._random = seed, random.Random(f"{seed} {test}")

    def second(self, within_s: float) -> float:
        """A time between 0 and `within_s`, in seconds."""
        drawn = self._random.uniform(0, within_s)
        self._tell(f"{drawn:.6f} s of {within_s:g} s")
        return drawn

    def number(self, first: int, end: int) -> int:
        """A whole number from `first` on, below `end`: the kill comes after so many of what is counted."""
        drawn = self._random.randrange(first, end)
        self._tell(f"{drawn} of {first} to {end - 1}")
        return drawn

    def _tell(self, what: str) -> None:
        print(f"the moment of the kill: {what}; {OPTION} {self._seed} has it again")
