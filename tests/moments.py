"""Moments at which something is killed in a test: drawn from one seed, so that those of a red run can be had again."""

import random
from typing import Any

import pytest

OPTION, KILLS = "--kill-seed", "--kills"
SEEDS = 2**31
TRIED = 3  # moments of each test, where nobody says how many: `make test` tries the first of them
LATER = pytest.mark.nightly("the second and the third moment at which a run is killed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of these tests."""
    parser.addoption(
        OPTION,
        type=int,
        default=random.SystemRandom().randrange(SEEDS),
        metavar="N",
        help="kill what is killed in these tests at the moments of an earlier run",
    )
    parser.addoption(KILLS, type=int, default=None, metavar="N", help="kill at N random moments in each test of a kill")


@pytest.hookimpl(trylast=True)  # after the test's own parameters
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `moment` is run once for each."""
    if "moment" in metafunc.fixturenames:
        kills = metafunc.config.getoption(KILLS)
        later = () if kills else (LATER,)
        each = [1, *(pytest.param(n, marks=later) for n in range(2, (kills or TRIED) + 1))]
        metafunc.parametrize("moment", each)


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
